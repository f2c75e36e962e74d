"""Recorders of the largest activations at each site of a network over fault-free images.

A recorder gets the values that a bound would get: behind a GELU or a similar activation the values above 0, behind an
activation without a floor the magnitudes (`elementwise.BehindActivation`).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from faultbench.datasets import Images
from faultbench.networks.network import Network, Site
from faultbench.schemes.bounded_activations import Granularity, bounds_shape


def profile(network: Network, images: Images, *, batch: int) -> dict[str, Tensor]:
    """Return the exact maximum of every output over the images, by site name, at least 0, in the site's shape."""
    recorders = {site.name: _Recorder(site) for site in network.sites}
    _record(network, recorders, images, batch)
    return {name: recorder.recorded() for name, recorder in recorders.items()}


def profile_quantile(
    network: Network, images: Images, granularities: dict[str, Granularity], quantile: float, *, batch: int
) -> dict[str, Tensor]:
    """Return the exact quantile of each layer's, channel's or neuron's outputs, interpolated linearly, by site name.

    Outputs below 0 count as 0. Only the largest share of 1 − quantile is kept in memory, since the result depends on no
    other output.
    """
    sites = {site.name: site for site in network.sites if site.name in granularities}
    recorders = {name: _TopRecorder(site, granularities[name], quantile, len(images)) for name, site in sites.items()}
    _record(network, recorders, images, batch)
    return {name: recorder.quantile() for name, recorder in recorders.items()}


@torch.inference_mode()
def _record(network: Network, recorders: Mapping[str, nn.Module], images: Images, batch: int) -> None:
    copied = network.copy()
    for site in copied.sites:
        if site.name in recorders:
            copied.install(site, recorders[site.name])
    for part in images.batches(batch):
        copied(part.pixels)


class _Recorder(nn.Module):
    """ReLU that keeps the largest output of every neuron."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._maximum = torch.zeros(bounds_shape(site, "neuron"))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x)
        self._maximum = torch.maximum(self._maximum.to(y.device), y.amax(dim=0))
        return y

    def recorded(self) -> Tensor:
        return self._maximum.cpu().clone()


class _TopRecorder(nn.Module):
    """ReLU that keeps, for each bound, as many of its largest outputs as the quantile needs."""

    def __init__(self, site: Site, granularity: Granularity, quantile: float, n_images: int) -> None:
        super().__init__()
        self._granularity, self._channel_axis = granularity, site.channel_axis
        self._shape = bounds_shape(site, granularity)
        n_values = n_images * math.prod(site.shape) // math.prod(self._shape)
        self._rank = (1 - quantile) * (n_values - 1)  # from the top, 0 being the maximum
        self._top = torch.zeros(math.prod(self._shape), 0)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x)
        together = torch.cat([self._top.to(y.device), _rows(y, self._granularity, self._channel_axis)], dim=1)
        n_kept = min(math.ceil(self._rank) + 1, together.shape[1])
        self._top = together.topk(n_kept, dim=1).values
        return y

    def quantile(self) -> Tensor:
        below, share = self._top[:, math.ceil(self._rank)], math.ceil(self._rank) - self._rank
        above = self._top[:, math.floor(self._rank)]
        return torch.lerp(below, above, share).reshape(self._shape).cpu().clone()


def _rows(y: Tensor, granularity: Granularity, channel_axis: int) -> Tensor:
    """Return a batch of activations with one row per bound: [bounds, activations that share it]."""
    if granularity == "layer":
        return y.reshape(1, -1)
    if granularity == "channel":
        return y.movedim(1 + channel_axis, 0).flatten(1)
    return y.flatten(1).T
