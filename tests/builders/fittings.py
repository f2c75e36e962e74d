"""What a scheme is given to fit its bounds, made small enough for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from networks import SHAPE, Residual, some_images
from torch import Tensor

from faultbench.datasets import Images, Splits
from faultbench.datasets.digits import Digits
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network, trace
from faultbench.schemes.scheme import Fitting
from faultbench.system.progress.reporter import Silent


def on_digits(network: Network, digits: Splits, *, n_train: int, **changes: Any) -> Fitting:
    """Fitting on the first training digits and on all calibration digits; any field may be given."""
    fields: dict[str, Any] = {
        "network": network,
        "train": digits.train.first(n_train),
        "calibration": digits.calibration,
        "augment": Digits().augment,
        "codec": FixedPoint(15, 16),
        "batch": 250,
        "schedule": "fast",
        "seed": 5,
        "title": "fit",
        "reporter": Silent(),
    }
    return Fitting(**{**fields, **changes})


def on_noise(n_images: int = 40, **changes: Any) -> Fitting:
    """Fitting a random residual network with batch norm on noise, labelled as the network sees it; no augmentation."""
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
        "reporter": Silent(),
    }
    return Fitting(**{**fields, **changes})


def balanced() -> Network:
    """The residual network with biases such that it puts noise into all classes."""
    model = Residual()
    network = trace(model, SHAPE)
    with torch.no_grad():
        model.linear.bias -= network(some_images(500, seed=3)).mean(dim=0)
    return network


@torch.no_grad()
def _labelled(network: Network, n_images: int, *, seed: int) -> Images:
    pixels = some_images(n_images, seed=seed)
    return Images(pixels, network(pixels).argmax(dim=1))


class Noting(Silent):
    """Keeps every note of every task."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(self, description: str, total: int, unit: str = "") -> Iterator[Any]:  # noqa: ARG002 - the protocol's
        """A task whose notes are kept; itself the task."""
        yield self

    def advance(self, n_done: int = 1, note: str = "") -> None:  # noqa: ARG002 - the protocol's
        """Keep the note."""
        self.notes += [note] if note else []


def as_it_is(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """No augmentation."""
    return pixels
