"""Builders of networks for staged runs, including difficult ones, and of fault maps for them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.schemes.bounded_activations import ClipToZero
from tests.builders.networks import SHAPE, Residual, randomise, some_images

Q15_16 = FixedPoint(15, 16)
EVERYTHING = ("weights", "biases", "bounds", "norm_parameters", "norm_statistics")
PLENTY = 1 << 30
CLASSIFIERS = (
    "resnet18",  # residual, with shared ReLU modules and +=
    "googlenet",  # branches
    "mobilenet_v3_small",  # in-place Hardswish, gates
    "shufflenet_v2_x0_5",  # chunks, that is, several values in one storage
    "densenet121",  # everything is read again later
    "squeezenet1_1",  # ends with an average, not with a linear layer
    "regnet_y_400mf",
)


class Writing(nn.Module):
    """Network with every in-place write that torch.fx shows, on values that are read again later."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.swish, self.relu = nn.Hardswish(inplace=True), nn.ReLU(inplace=True)
        self.linear = nn.Linear(4 * 36, 3)
        randomise(self, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        y = self.swish(x)
        y += x
        y.mul_(0.5)
        y = F.leaky_relu(self.second(y), 0.1, inplace=True)
        return self.linear((y + x).flatten(1))


class Twice(nn.Module):
    """Network that calls one convolution twice, and has two linear layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.narrow, self.wide = nn.Linear(144, 144), nn.Linear(144, 144, bias=False)
        self.linear = nn.Linear(144, 3)
        randomise(self, 1)
        self.wide.weight = self.narrow.weight

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(F.relu(self.stem(x))))
        x = F.relu(self.conv(x)).flatten(1)
        return self.linear(self.wide(F.relu(self.narrow(x))))


class Deep(nn.Module):
    """Network with many channels on small maps, where layers of both memory layouts alternate and share values."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(1, 192, 3, padding=1), nn.Conv2d(192, 192, 3, padding=1)
        self.beside, self.narrow = nn.Conv2d(192, 192, 1), nn.Conv2d(192, 192, 1)
        self.last, self.linear = nn.Conv2d(192, 8, 3, padding=1), nn.Linear(8, 3)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        randomise(self, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.pool(F.relu(self.wide(x) + self.beside(x)))
        x = F.relu(self.last(F.relu(self.narrow(x))))
        return self.linear(x.mean((2, 3)))


class Overwriting(nn.Linear):
    """Custom layer that overwrites its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Spoiling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.last = nn.Linear(36, 36), Overwriting(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.linear(x.flatten(1))))


def classifier(name: str) -> Network:
    torch.manual_seed(0)
    model = registry.build("model", f"torchvision:{name}", {}, shape=(3, 32, 32), n_classes=7)
    return trace(model.to(memory_format=torch.channels_last), (3, 32, 32))


def bounded(network: Network) -> Network:
    """Return the network with a bound per neuron at every second site. Some bounds are below values that occur."""
    generator = torch.Generator().manual_seed(5)
    for site in network.sites[::2]:
        network.install(site, ClipToZero(torch.rand(site.shape, generator=generator) + 0.2))
    return network


def small(name: str) -> Network:
    return trace(SMALL[name]().to(memory_format=torch.channels_last), SHAPE)


SMALL = {"residual": Residual, "writing": Writing, "twice": Twice, "deep": Deep, "spoiling": Spoiling}


def images_of(name: str) -> Tensor:
    return some_images(6, SHAPE if name in SMALL else (3, 32, 32))


def labelled(images: Tensor) -> Images:
    return Images(images, torch.zeros(len(images), dtype=torch.int64))


def network_of(name: str) -> Network:
    return small(name) if name in SMALL else classifier(name)


def maps_of(space: FaultSpace) -> Iterator[FaultMap]:
    """Yield fault maps with one flip to about 100 flips."""
    for n_flips in (1, 2, 5, 100):
        for trial in range(4):
            yield Bernoulli().draw(space, ber=n_flips / space.n_target_bits, seed=n_flips, trial=trial)


def flip(space: FaultSpace, name: str, word: int, bit: int) -> FaultMap:
    index = [item.name for item in space.stored].index(name)
    return FaultMap(np.array([space.offsets[index] + word * space.stored[index].codec.bits + bit]))
