"""The largest activation of every neuron over fault-free images: where every scheme's bounds start."""

import torch
from torch import Tensor, nn

from faultbench.activations import Granularity, bounds_shape, reduce_bounds
from faultbench.datasets import Images
from faultbench.network import Network, Site
from faultbench.schemes.scheme import Fitting

N_IMAGES = 3000
"""Images profiled, as in the ProAct authors' released code; fewer where the training set is smaller."""


def profiled_bounds(fitting: Fitting, granularities: dict[str, Granularity]) -> dict[str, Tensor]:
    """Site name → the largest activation of each layer, channel or neuron over seeded training images."""
    chosen = torch.randperm(len(fitting.train), generator=fitting.generator("profile"))[:N_IMAGES]
    maxima = profile(fitting.network, fitting.train.chosen(chosen), batch=fitting.batch)
    return {name: reduce_bounds(maxima[name], granularity) for name, granularity in granularities.items()}


@torch.inference_mode()
def profile(network: Network, images: Images, *, batch: int) -> dict[str, Tensor]:
    """Site name → exact maximum of every ReLU output over the images, float32 of the site's shape."""
    watched = network.copy()
    recorders = {site.name: _Recorder(site) for site in watched.sites}
    for site in watched.sites:
        watched.install(site, recorders[site.name])
    for part in images.batches(batch):
        watched(part.pixels)
    return {name: recorder.maximum.clone() for name, recorder in recorders.items()}


class _Recorder(nn.Module):
    """A ReLU that remembers the largest output of every neuron."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.maximum = torch.zeros(bounds_shape(site, "neuron"))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x)
        self.maximum = torch.maximum(self.maximum, y.amax(dim=0))
        return y
