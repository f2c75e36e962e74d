"""Tensors and networks compared bit for bit, and filled with values that hide nothing."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from faultbench.networks.network import Network


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two float32 tensors are equal in every bit, so that NaN equals itself and 0 differs from −0."""
    return a.shape == b.shape and torch.equal(a.detach().view(torch.int32), b.detach().view(torch.int32))


def state_of(network: Network) -> dict[str, Tensor]:
    """Return a copy of all that a network holds: parameters, running statistics, bounds."""
    return {name: tensor.clone() for name, tensor in network.graph.state_dict().items()}


def unchanged(network: Network, before: Mapping[str, Tensor]) -> bool:
    """Return whether a network still holds what `state_of` saw, bit for bit."""
    after = network.graph.state_dict()
    return after.keys() == before.keys() and all(
        after[name].view(torch.uint8).equal(before[name].view(torch.uint8))
        if before[name].dim()
        else after[name].equal(before[name])
        for name in before
    )


def randomise(model: nn.Module, seed: int) -> None:
    """Put other values into every parameter and running statistic, so that none of them is an identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)
        for name, buffer in model.named_buffers():
            if buffer.is_floating_point():
                buffer.uniform_(*((0.5, 1.5) if name.endswith("var") else (-0.2, 0.2)), generator=generator)


def random_images(n_images: int, shape: tuple[int, ...], *, seed: int = 0) -> Tensor:
    """Return normally distributed images [n_images, *shape]."""
    return torch.randn(n_images, *shape, generator=torch.Generator().manual_seed(seed))
