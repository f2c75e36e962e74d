"""Training the bounds of a network in the smooth form, everything else frozen: what FitAct and ProAct share."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from faultbench.networks.network import Network
from faultbench.schemes.bounded_activations import Bounded, Smooth
from faultbench.schemes.scheme import values

STEEPNESS = 20.0
"""k of the smooth form in the ProAct authors' released code."""


class Student:
    """A copy of a network in the smooth form whose bounds can be trained; the network stays in eval mode.

    Batch-norm statistics do not move, dropout is off, and no weight ever receives a gradient.
    """

    def __init__(self, network: Network, bounds: dict[str, Tensor]) -> None:
        self.network = network.copy()
        self.network.graph.requires_grad_(False)
        for site in self.network.sites:
            self.network.install(site, Smooth(bounds[site.name], steepness=STEEPNESS))

    @property
    def bounds(self) -> dict[str, nn.Parameter]:
        """Site name → live bounds, in order of execution."""
        modules = {site.name: self.network.at(site) for site in self.network.sites}
        return {name: module.bounds for name, module in modules.items() if isinstance(module, Bounded)}

    def train_only(self, names: Iterable[str]) -> list[nn.Parameter]:
        """Make the bounds of these sites, and nothing else, trainable; gives them back."""
        chosen = set(names)
        for name, bounds in self.bounds.items():
            bounds.requires_grad_(name in chosen)
        return [bounds for bounds in self.bounds.values() if bounds.requires_grad]

    def saved(self) -> dict[str, Tensor]:
        """The bounds as they are now."""
        return values(self.bounds)

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Put saved bounds back."""
        with torch.no_grad():
            for name, bounds in self.bounds.items():
                bounds.copy_(saved[name])


def mean_square(bounds: Iterable[Tensor]) -> Tensor:
    """Σ over sites of the mean of λ², the penalty on large bounds."""
    return torch.stack([tensor.square().mean() for tensor in bounds]).sum()
