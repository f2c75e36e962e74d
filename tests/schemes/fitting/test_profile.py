"""Profiles hold the exact maximum of every neuron over seeded training images."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faultbench.datasets import Images, Splits
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.schemes import scheme as scheme_module
from faultbench.schemes.bounded_activations import Granularity
from faultbench.schemes.fitting.activation_recorder import profile
from faultbench.schemes.fitting.profile import bounds_to_maxima, profiled_bounds
from faultbench.schemes.scheme import Fitting, granularities
from tests.builders.fittings import on_noise
from tests.builders.networks import SHAPE, Residual, some_images, state_of, unchanged


def in_one_batch(network: Network, pixels: Tensor) -> dict[str, Tensor]:
    """Compute maxima the slow way: hooks on the activations, all images at once, one maximum at the end."""
    outputs: dict[str, Tensor] = {}
    hooks = [
        network.at(site).register_forward_hook(lambda _, __, output, name=site.name: outputs.update({name: output}))
        for site in network.sites
    ]
    with torch.inference_mode():
        network(pixels)
    for hook in hooks:
        hook.remove()
    return {name: output.max(dim=0).values for name, output in outputs.items()}


@pytest.mark.parametrize("batch", [1, 7, 64, 100])
def test_the_profile_is_the_maximum_over_all_images_whatever_the_batch_size(batch: int) -> None:
    network = trace(Residual(), SHAPE)
    images = Images(some_images(100), torch.zeros(100, dtype=torch.int64))
    maxima, expected = profile(network, images, batch=batch), in_one_batch(network, images.pixels)
    assert list(maxima) == [site.name for site in network.sites]
    for site in network.sites:
        assert maxima[site.name].shape == site.shape
        assert maxima[site.name].dtype == torch.float32
        # Convolutions of another batch size may round otherwise.
        torch.testing.assert_close(maxima[site.name], expected[site.name], rtol=1e-5, atol=1e-6)


def test_the_profile_of_a_trained_network_is_the_oracles(digits_cnn: Network, digits: Splits) -> None:
    images = digits.train.first(120)
    maxima, expected = profile(digits_cnn, images, batch=50), in_one_batch(digits_cnn, images.pixels)
    for name, values in maxima.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-5)


def test_a_neuron_that_never_fires_has_a_maximum_of_0() -> None:
    model = Residual()
    torch.nn.init.constant_(model.bn1.bias, -100.0)
    maxima = profile(trace(model, SHAPE), Images(some_images(), torch.zeros(4).long()), batch=3)
    assert not maxima["relu"].any()


def test_profiling_leaves_the_network_as_it_is() -> None:
    network = trace(Residual(), SHAPE)
    before, modules = state_of(network), [network.at(site) for site in network.sites]
    profile(network, Images(some_images(), torch.zeros(4).long()), batch=2)
    assert unchanged(network, before)
    assert [network.at(site) for site in network.sites] == modules


def grains(network: Network, granularity: Granularity) -> dict[str, Granularity]:
    return {site.name: granularity for site in network.sites}


def test_profiled_bounds_are_the_largest_of_their_layer_channel_or_neuron() -> None:
    fitting = on_noise()
    expected = in_one_batch(fitting.network, fitting.train.pixels)
    for granularity, axes in (("layer", (0, 1, 2)), ("channel", (1, 2)), ("neuron", ())):
        bounds = profiled_bounds(fitting, grains(fitting.network, granularity))  # type: ignore[arg-type]
        for name, values in expected.items():
            oracle = values.amax(dim=axes, keepdim=granularity == "channel") if axes else values
            torch.testing.assert_close(bounds[name], oracle, rtol=1e-5, atol=1e-6)


def test_only_the_sites_asked_for_have_bounds() -> None:
    fitting = on_noise()
    assert list(profiled_bounds(fitting, {"relu#1": "layer"})) == ["relu#1"]


def test_training_images_are_profiled_and_no_calibration_images() -> None:
    fitting = on_noise()
    loud = Images(100 * fitting.calibration.pixels, fitting.calibration.labels)
    first = profiled_bounds(fitting, grains(fitting.network, "neuron"))
    other = profiled_bounds(replace(fitting, calibration=loud), grains(fitting.network, "neuron"))
    assert all(torch.equal(first[name], other[name]) for name in first)


def one_hot_fitting(seed: int) -> Fitting:
    """36 images of one bright pixel each, at 36 places, and a network whose first neurons are the pixels."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    nn.init.ones_(model[0].weight)
    images = Images(torch.eye(36).view(36, *SHAPE), torch.zeros(36, dtype=torch.int64))
    return on_noise(network=trace(model, SHAPE), train=images, seed=seed)


def test_the_stated_number_of_images_is_profiled_and_the_seed_chooses_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheme_module, "N_PROFILED", 6)

    def chosen(seed: int) -> list[int]:
        (bounds,) = profiled_bounds(one_hot_fitting(seed), {"1": "neuron"}).values()
        return [int(place) for place in bounds.flatten().nonzero()]

    assert len(chosen(0)) == 6
    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


def test_all_images_are_profiled_where_there_are_no_more() -> None:
    (bounds,) = profiled_bounds(one_hot_fitting(0), {"1": "neuron"}).values()
    assert bool((bounds == 1).all())


def ratio(scheme: str, fitting: Fitting, **options: Any) -> float | None:
    built = registry.build("scheme", scheme, options)
    return bounds_to_maxima(fitting, built, built.fit(fitting).bounds)


def test_bounds_at_the_profile_are_1_of_it_whatever_their_granularity_and_relu_has_none() -> None:
    fitting = on_noise()
    for granularity in ("layer", "channel", "neuron"):
        assert ratio("clip_act", fitting, granularity=granularity) == 1.0
    assert ratio("relu", fitting) is None
    assert "maxima" not in vars(on_noise())


def test_the_ratio_is_the_median_over_all_bounds_that_bound_something() -> None:
    fitting, scheme = on_noise(), registry.build("scheme", "clip_act", {"granularity": "neuron"})
    maxima = profiled_bounds(fitting, granularities(fitting.network, scheme))
    n_fired = {name: int((bounds > 0).sum()) for name, bounds in maxima.items()}
    assert sum(n_fired.values()) < sum(bounds.numel() for bounds in maxima.values())  # some never fire
    share = {name: 0.25 * (1 + number) for number, name in enumerate(maxima)}
    bounds = {name: share[name] * maximum + (maximum == 0) for name, maximum in maxima.items()}
    expected = np.median(np.repeat(list(share.values()), list(n_fired.values())))
    assert bounds_to_maxima(fitting, scheme, bounds) == pytest.approx(float(expected), rel=1e-6)


def test_a_network_that_never_fires_has_no_ratio_and_neither_have_endless_bounds() -> None:
    fitting, scheme = on_noise(), registry.build("scheme", "clip_act", {})
    bounds = {site.name: torch.tensor(torch.inf) for site in fitting.network.sites}
    assert bounds_to_maxima(fitting, scheme, bounds) is None
    for conv in (fitting.network.graph.get_submodule(name) for name in ("conv1", "conv2", "conv3")):
        torch.nn.init.zeros_(conv.weight)
    for layer in ("bn1", "bn2", "conv3"):
        torch.nn.init.constant_(fitting.network.graph.get_submodule(layer).bias, -100.0)
    silent = replace(fitting)
    assert bounds_to_maxima(silent, scheme, {name: torch.tensor(1.0) for name in bounds}) is None


def test_a_scheme_that_changes_its_bounds_in_place_does_not_change_the_profile() -> None:
    fitting = on_noise()
    first = profiled_bounds(fitting, grains(fitting.network, "neuron"))
    for bounds in first.values():
        bounds.zero_()
    again = profiled_bounds(fitting, grains(fitting.network, "neuron"))
    assert all(bool(bounds.any()) for bounds in again.values())
