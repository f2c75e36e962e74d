"""Small networks made up for tests, and comparing tensors bit for bit."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.network import Network, Site

SHAPE = (1, 6, 6)
N_CLASSES = 3


class Residual(nn.Module):
    """Three convolutions with batch norm, the last two beside a shortcut, and a linear classifier.

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


def randomise(model: nn.Module, seed: int) -> None:
    """Other values in every parameter and running statistic, so that none of them is an identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)
        for name, buffer in model.named_buffers():
            if buffer.is_floating_point():
                buffer.uniform_(*((0.5, 1.5) if name.endswith("var") else (-0.2, 0.2)), generator=generator)


def some_images(n_images: int = 4, shape: tuple[int, ...] = SHAPE, *, seed: int = 0) -> Tensor:
    return torch.randn(n_images, *shape, generator=torch.Generator().manual_seed(seed))


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two float32 tensors are equal in every bit, so that NaN equals itself and 0 differs from −0."""
    return a.shape == b.shape and torch.equal(a.detach().view(torch.int32), b.detach().view(torch.int32))


def state_of(network: Network) -> dict[str, Tensor]:
    """A copy of all that a network holds: parameters, running statistics, bounds."""
    return {name: tensor.clone() for name, tensor in network.graph.state_dict().items()}


def unchanged(network: Network, before: Mapping[str, Tensor]) -> bool:
    """Whether a network still holds what `state_of` saw, bit for bit."""
    after = network.graph.state_dict()
    return after.keys() == before.keys() and all(
        after[name].view(torch.uint8).equal(before[name].view(torch.uint8))
        if before[name].dim()
        else after[name].equal(before[name])
        for name in before
    )


def site_named(network: Network, name: str) -> Site:
    return next(site for site in network.sites if site.name == name)


def names(parts: Iterable[Site]) -> list[str]:
    return [site.name for site in parts]
