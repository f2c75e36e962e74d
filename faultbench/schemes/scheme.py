"""Activation schemes: their protocol, the inputs and results of fitting, and their installation on a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from faultbench.datasets import Augment, Images
from faultbench.memory.formats.codec import Codec
from faultbench.networks.network import Network, Site
from faultbench.networks.training import EpochStore, NoTrainingCheckpoint
from faultbench.schemes.bounded_activations import Bounds, Granularity, bounds_shape
from faultbench.schemes.fitting.activation_recorder import profile
from faultbench.system.printable import shortened
from faultbench.system.progress.reporter import Reporter
from faultbench.system.torch_streams import torch_generator

N_PROFILED = 3000
"""Number of profiled images, as in the ProAct authors' released code; fewer if the training set is smaller."""

Schedule = Literal["paper", "fast"]

_N_NAMED = 6
"""Largest number of sites that a remark names."""


@dataclass(frozen=True)
class Fitted:
    """Fitted bounds, and the cost of fitting them."""

    bounds: Bounds = field(default_factory=dict)
    n_epochs: int = 0
    n_injections: int = 0
    bounds_to_maxima: float | None = None
    """Ratio of bounds to maxima (`profile.bounds_to_maxima`). The caller of a scheme fills it in, not the scheme."""
    unsearched: tuple[str, ...] = ()
    """Names of sites that no fault of a search reaches. Their bounds stay at the profiled maximum."""

    @property
    def remark(self) -> str | None:
        """Return what a reader of the results must know about these bounds, or None."""
        if not self.unsearched:
            return None
        names = ", ".join(shortened(name, 200) for name in self.unsearched[:_N_NAMED])
        n_more = len(self.unsearched) - _N_NAMED
        more, sites = f" and {n_more:,} more" if n_more > 0 else "", "site" if len(self.unsearched) == 1 else "sites"
        return f"no fault of the search reaches {sites} {names}{more}: bounded at the profiled maximum, not searched"


class FittingStore(Protocol):
    """Store of a fitting's progress, so that an interrupted fitting continues after its last finished site."""

    def load(self) -> Fitted:
        """Return the bounds of the finished sites and their cost; empty at first."""

    def save(self, fitted: Fitted) -> None:
        """Store these in place of the last ones."""


class NoFittingCheckpoint:
    """Store that keeps nothing."""

    def load(self) -> Fitted:
        """Return no bounds."""
        return Fitted()

    def save(self, fitted: Fitted) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Fitting:
    """Inputs of a scheme for fitting its bounds: a network and images of the training side, never a test image.

    network is unprotected and has its weights as memory holds them; a scheme works on copies of it. calibration is
    held out from training: bounds are searched and accepted on it.
    """

    network: Network
    train: Images
    calibration: Images
    augment: Augment
    codec: Codec
    batch: int
    schedule: Schedule
    seed: int
    title: str
    """Name of this fitting in progress bars."""
    reporter: Reporter
    memory_bytes: int = 0
    """Memory that values kept of golden runs may take."""
    tf32: bool = False
    """Whether a GPU may train bounds in TF32."""
    checkpoint: FittingStore = field(default_factory=NoFittingCheckpoint)
    epochs: EpochStore = field(default_factory=NoTrainingCheckpoint)
    """Store of a bound training's state after an epoch, so that an interrupted training continues there."""

    def generator(self, purpose: str) -> torch.Generator:
        """Return a torch generator of this fitting for a purpose. The same purpose gives the same stream."""
        return torch_generator(self.seed, purpose)

    @cached_property
    def profiled_images(self) -> Images:
        """Return the training images for profiles, chosen by the seed."""
        order = torch.randperm(len(self.train), generator=self.generator("profile"))
        return self.train.select(order[:N_PROFILED])

    @cached_property
    def maxima(self) -> dict[str, Tensor]:
        """Return the largest activation of every neuron over the profiled images, by site name. Do not change them."""
        return profile(self.network, self.profiled_images, batch=self.batch)


class Scheme(Protocol):
    """Activation scheme; the same seed gives the same bounds, bit for bit."""

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity | None:
        """Return the granularity of the site's bounds; None leaves the site as it is."""

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return the module to put at a site. If its bounds are out of reach it must equal ReLU on finite inputs.

        If the network has another activation, that one stays, and the module gets its output converted to the values
        of a ReLU (`elementwise.BehindActivation`).
        """

    def fit(self, fitting: Fitting) -> Fitted:
        """Return the bounds of every site that has some; leave the given network as it is."""


def granularities(network: Network, scheme: Scheme) -> dict[str, Granularity]:
    """Return the granularity of each site that the scheme bounds, by site name, in order of execution."""
    last = network.sites[-1]
    grains = {site.name: scheme.granularity_at(site, is_last=site is last) for site in network.sites}
    return {name: granularity for name, granularity in grains.items() if granularity is not None}


def equal_bounds(network: Network, scheme: Scheme, bound: float) -> dict[str, Tensor]:
    """Return bounds of the scheme on the network that all have one value, for counting or timing without a fit."""
    sites = {site.name: site for site in network.sites}
    grains = granularities(network, scheme)
    return {name: torch.full(bounds_shape(sites[name], grain), bound) for name, grain in grains.items()}


def protect_copy(network: Network, scheme: Scheme, bounds: Bounds) -> Network:
    """Return a copy of the network with the scheme's activation at every site that has bounds."""
    twin = network.copy()
    for site in twin.sites:
        if site.name in bounds:
            twin.install(site, scheme.activation(bounds[site.name]))
    return twin


def plain_bounds(bounds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of the bounds as plain tensors on the CPU, independent of any network."""
    return {name: tensor.detach().cpu().clone() for name, tensor in bounds.items()}
