"""What every activation scheme is, what it may see while it fits its bounds, and putting it on a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from faultbench.datasets import Augment, Images
from faultbench.memory.formats.codec import Codec, quantised
from faultbench.networks.network import Network, Site
from faultbench.schemes.bounded_activations import Bounds, Granularity, bounds_shape
from faultbench.schemes.fitting.activation_recorder import profile
from faultbench.system.progress.reporter import Reporter
from faultbench.system.torch_streams import torch_generator

N_PROFILED = 3000
"""Images profiled, as in the ProAct authors' released code; fewer where the training set is smaller."""

Schedule = Literal["paper", "fast"]


@dataclass(frozen=True)
class Fitted:
    """Bounds found, and what finding them cost."""

    bounds: Bounds = field(default_factory=dict)
    n_epochs: int = 0
    n_injections: int = 0
    bounds_to_maxima: float | None = None
    """As `profile.bounds_to_maxima` defines it; whoever runs the fitting fills it in, a scheme need not."""


class Checkpoint(Protocol):
    """Where a fitting keeps what it has so far, so that an interrupted one goes on at the last finished site."""

    def load(self) -> Fitted:
        """The finished sites' bounds and what they cost; empty at first."""

    def save(self, fitted: Fitted) -> None:
        """Keep these in place of the last ones."""


class NoCheckpoint:
    """Keeps nothing."""

    def load(self) -> Fitted:
        """Nothing."""
        return Fitted()

    def save(self, fitted: Fitted) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Fitting:
    """What a scheme may use to fit its bounds: a network and training-side images, never a test image.

    network is unprotected, with its weights as memory holds them; a scheme works on copies of it. calibration
    is held out from training: bounds are searched and accepted on it.
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
    """What progress bars call this fitting."""
    reporter: Reporter
    memory_bytes: int = 0
    """What values kept of golden runs may take."""
    tf32: bool = False
    """Whether a card may train bounds in TF32."""
    checkpoint: Checkpoint = field(default_factory=NoCheckpoint)

    def generator(self, purpose: str) -> torch.Generator:
        """A torch stream of this fitting's own for a purpose; the same purpose gives the same stream."""
        return torch_generator(self.seed, purpose)

    @cached_property
    def profiled_images(self) -> Images:
        """The training images that profiles are taken over, chosen by the seed."""
        order = torch.randperm(len(self.train), generator=self.generator("profile"))
        return self.train.chosen(order[:N_PROFILED])

    @cached_property
    def maxima(self) -> dict[str, Tensor]:
        """Site name → the largest activation of every neuron over the profiled images; not to be changed."""
        return profile(self.network, self.profiled_images, batch=self.batch)


class Scheme(Protocol):
    """An activation scheme. Same seed, same bounds, bit for bit."""

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity | None:
        """How many bounds the site has; None leaves it as the network has it."""

    def activation(self, bounds: Tensor) -> nn.Module:
        """The module to put at a site; with infinite bounds it equals ReLU on finite inputs.

        Where the network has another activation, that one stays, and the module sees what it gives as a ReLU would
        give it (`elementwise.BehindActivation`).
        """

    def fit(self, fitting: Fitting) -> Fitted:
        """Find the bounds of every site that has some; leaves the given network as it is."""


def granularities(network: Network, scheme: Scheme) -> dict[str, Granularity]:
    """Site name → granularity, for the sites that the scheme bounds, in order of execution."""
    last = network.sites[-1]
    found = {site.name: scheme.granularity_at(site, is_last=site is last) for site in network.sites}
    return {name: granularity for name, granularity in found.items() if granularity is not None}


def equal_bounds(network: Network, scheme: Scheme, bound: float) -> dict[str, Tensor]:
    """The same value for every bound that the scheme has on the network: what can be counted or timed is right."""
    sites = {site.name: site for site in network.sites}
    grains = granularities(network, scheme)
    return {name: torch.full(bounds_shape(sites[name], grain), bound) for name, grain in grains.items()}


def protected(network: Network, scheme: Scheme, bounds: Bounds) -> Network:
    """A copy of the network with the scheme's activation at every site that has bounds."""
    twin = network.copy()
    for site in twin.sites:
        if site.name in bounds:
            twin.install(site, scheme.activation(bounds[site.name]))
    return twin


def store(network: Network, codec: Codec, *, statistics: bool = False) -> None:
    """Make every parameter of the network what memory gives back of it, in place; bounds and norms included.

    The running statistics of norms stay as they are unless they are in memory too, as faults in them ask for.
    """
    with torch.no_grad():
        for parameter in network.graph.parameters():
            parameter.copy_(quantised(codec, parameter))
        for item in network.parameters() if statistics else ():
            if item.kind == "norm_statistics":
                item.tensor.copy_(quantised(codec, item.tensor))


def values(bounds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The bounds as plain tensors on the processor, apart from any network."""
    return {name: tensor.detach().cpu().clone() for name, tensor in bounds.items()}
