"""Training of a network's bounds in the smooth form with all else frozen, shared by FitAct and ProAct."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from faultbench.networks.failures import network_errors
from faultbench.networks.network import Network
from faultbench.networks.training import descend, shuffled
from faultbench.schemes.bounded_activations import BoundedActivation, ClipToZero, NanPolicy, Smooth
from faultbench.schemes.scheme import Fitting, plain_bounds
from faultbench.system.progress.reporter import Task

STEEPNESS = 20.0
"""Steepness k of the smooth form in the ProAct authors' released code."""


class Student:
    """Copy of a network in the smooth form whose bounds can be trained; it stays in eval mode.

    Batch-norm statistics do not change, dropout is off, and no weight ever gets a gradient.
    """

    def __init__(self, network: Network, bounds: dict[str, Tensor]) -> None:
        self.network = network.copy()
        self.network.graph.requires_grad_(False)
        for site in self.network.sites:
            self.network.install(site, Smooth(bounds[site.name], steepness=STEEPNESS))

    @property
    def bounds(self) -> dict[str, nn.Parameter]:
        """Return the parameters that hold the bounds, by site name, in order of execution."""
        modules = {site.name: self.network.at(site) for site in self.network.sites}
        return {name: module.bounds for name, module in modules.items() if isinstance(module, BoundedActivation)}

    def train_only(self, names: Iterable[str]) -> list[nn.Parameter]:
        """Make the bounds of these sites, and nothing else, trainable, and return them."""
        chosen = set(names)
        for name, bounds in self.bounds.items():
            bounds.requires_grad_(name in chosen)
        return [bounds for bounds in self.bounds.values() if bounds.requires_grad]

    def copy_bounds(self) -> dict[str, Tensor]:
        """Return a copy of the present bounds."""
        return plain_bounds(self.bounds)

    def restore(self, copied: dict[str, Tensor]) -> None:
        """Set the bounds to these values."""
        with torch.no_grad():
            for name, bounds in self.bounds.items():
                bounds.copy_(copied[name])


def deployed_form(bounds: Tensor, deploy: Literal["smooth", "hard"], nan_policy: NanPolicy) -> BoundedActivation:
    """Return the smooth form, or clipping to zero if the scheme is deployed hard."""
    if deploy == "smooth":
        return Smooth(bounds, steepness=STEEPNESS, nan_policy=nan_policy)
    return ClipToZero(bounds, nan_policy=nan_policy)


def descend_bounds(
    fitting: Fitting,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    *,
    batch: int,
    generator: torch.Generator,
    n_epochs: int,
    n_flat_epochs: int = 0,
    n_done: int = 0,
    task: Task,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Minimise loss(pixels, labels) over epochs of the fitting's training images, as `descend` does."""
    descend(
        loss,
        optimiser,
        batches=lambda: shuffled(fitting.train, batch, fitting.augment, generator),
        n_epochs=n_epochs,
        n_flat_epochs=n_flat_epochs,
        n_done=n_done,
        tf32=fitting.tf32,
        task=task,
        after_epoch=after_epoch,
        guarded=lambda: network_errors(fitting.title, fitting.network.graph),
        title=fitting.title,
    )


def mean_square(bounds: Iterable[Tensor]) -> Tensor:
    """Return Σ over sites of the mean of λ², the penalty on large bounds."""
    return torch.stack([tensor.square().mean() for tensor in bounds]).sum()
