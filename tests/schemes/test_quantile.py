"""Quantile bounds equal torch's own quantile of all activations at once."""

import pytest
import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.bounded_activations import Granularity
from faultbench.schemes.clip_act import ClipAct
from faultbench.schemes.fitting.activation_recorder import profile_quantile
from faultbench.schemes.ranger import Ranger
from tests.builders.fittings import on_noise
from tests.builders.networks import SHAPE, Residual, some_images


def rows(outputs: Tensor, granularity: Granularity) -> Tensor:
    """Return all activations with one row per bound."""
    if granularity == "layer":
        return outputs.flatten()[None]
    return outputs.transpose(0, 1).flatten(1) if granularity == "channel" else outputs.flatten(1).T


@pytest.mark.parametrize("granularity", ["layer", "channel", "neuron"])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("batch", [7, 40])
def test_a_quantile_is_that_of_all_activations_at_once(granularity: Granularity, quantile: float, batch: int) -> None:
    network = trace(Residual(), SHAPE)
    images = Images(some_images(40), torch.zeros(40, dtype=torch.int64))
    outputs: dict[str, Tensor] = {}
    for site in network.sites:
        hook = lambda _, __, output, name=site.name: outputs.update({name: output})  # noqa: E731 - a hook
        network.at(site).register_forward_hook(hook)
    with torch.inference_mode():
        network(images.pixels)
    grains = {site.name: granularity for site in network.sites}
    found = profile_quantile(network, images, grains, quantile, batch=batch)
    for name, bounds in found.items():
        expected = torch.quantile(rows(outputs[name], granularity), quantile, dim=1)
        torch.testing.assert_close(bounds.flatten(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", [ClipAct, Ranger])
@pytest.mark.parametrize("granularity", ["layer", "channel", "neuron"])
def test_a_quantile_of_1_is_the_maximum_and_a_lower_one_no_larger(
    scheme: type[ClipAct], granularity: Granularity
) -> None:
    fitting = on_noise()
    whole = scheme(granularity=granularity).fit(fitting).bounds
    nearly = scheme(granularity=granularity, quantile=1 - 1e-12).fit(fitting).bounds
    lower = scheme(granularity=granularity, quantile=0.9).fit(fitting).bounds
    for name, bounds in whole.items():
        assert nearly[name].shape == lower[name].shape == bounds.shape
        torch.testing.assert_close(nearly[name], bounds)
        assert (lower[name] <= bounds).all()
        assert (lower[name] < bounds).any()
