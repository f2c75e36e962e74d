"""Builders of small networks, and a comparison of tensors bit for bit."""

from collections.abc import Iterable
from unittest.mock import patch

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.network import Network, Site
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from faultbench.testing.tensors import random_images, randomise, same_bits, state_of, unchanged

__all__ = [
    "DIGIT_SHAPE",
    "N_CLASSES",
    "SHAPE",
    "Residual",
    "names",
    "randomise",
    "refused",
    "same_bits",
    "site_named",
    "some_images",
    "state_of",
    "traced_unchecked",
    "unchanged",
]

SHAPE = (1, 6, 6)
N_CLASSES = 3

DIGIT_SHAPE = (1, 8, 8)


class Residual(nn.Module):
    """Network of three convolutions with batch norm, the last two with a shortcut around them, and a linear classifier.

    Sites: relu (fed by conv1), relu#1 (conv2), relu#2 (conv3, added to relu's output).
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.linear = nn.Linear(36, N_CLASSES)
        randomise(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        branch = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.conv3(branch) + x)
        return self.linear(self.pool(x).flatten(1))


def traced_unchecked(model: nn.Module, shape: tuple[int, int, int]) -> Network:
    """Return the traced form of a network that `trace` refuses, because its logits depend on the batch."""
    with patch("faultbench.networks.tracing.trace.Agreement"):
        return trace(model, shape)


def refused(model: nn.Module, shape: tuple[int, int, int] = DIGIT_SHAPE) -> str:
    """Return the one-line error of tracing a network."""
    with pytest.raises(FaultbenchError) as caught:
        trace(model, shape)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def some_images(n_images: int = 4, shape: tuple[int, ...] = SHAPE, *, seed: int = 0) -> Tensor:
    return random_images(n_images, shape, seed=seed)


def site_named(network: Network, name: str) -> Site:
    return next(site for site in network.sites if site.name == name)


def names(parts: Iterable[Site]) -> list[str]:
    return [site.name for site in parts]
