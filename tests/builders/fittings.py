"""Builders of fittings that are small enough for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.scheme import Fitting
from faultbench.system.progress.reporter import SilentReporter
from faultbench.testing.digits_network import digits_fitting as on_digits
from tests.builders.networks import SHAPE, Residual, some_images

__all__ = ["Noting", "as_it_is", "balanced", "on_digits", "on_noise"]


def on_noise(n_images: int = 40, **changes: Any) -> Fitting:
    """Return a fitting of a random residual network on noise, labelled by the network itself, without augmentation."""
    network = balanced()
    fields: dict[str, Any] = {
        "network": network,
        "train": _labelled(network, n_images, seed=1),
        "calibration": _labelled(network, n_images, seed=2),
        "augment": as_it_is,
        "codec": FixedPoint(15, 16),
        "batch": 20,
        "schedule": "fast",
        "seed": 5,
        "title": "fit",
        "reporter": SilentReporter(),
    }
    return Fitting(**{**fields, **changes})


def balanced() -> Network:
    """Return the residual network with biases for which noise is classified into all classes."""
    model = Residual()
    network = trace(model, SHAPE)
    with torch.no_grad():
        model.linear.bias -= network(some_images(500, seed=3)).mean(dim=0)
    return network


@torch.no_grad()
def _labelled(network: Network, n_images: int, *, seed: int) -> Images:
    pixels = some_images(n_images, seed=seed)
    return Images(pixels, network(pixels).argmax(dim=1))


class Noting(SilentReporter):
    """Reporter that keeps every note of every task."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(self, description: str, total: int, unit: str = "") -> Iterator[Any]:  # noqa: ARG002 - part of the protocol
        """Return the reporter itself, which is also the task."""
        yield self

    def advance(self, n_done: int = 1, note: str = "") -> None:  # noqa: ARG002 - part of the protocol
        """Keep the note."""
        self.notes += [note] if note else []


def as_it_is(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images unchanged, as augmentation."""
    return pixels
