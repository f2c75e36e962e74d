"""Activations other than ReLU: each call is a site behind it, which changes nothing until it is bounded from above."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Images
from faultbench.networks.network import Network, Site
from faultbench.networks.tracing.elementwise import FLOORS, BehindActivation
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.schemes.bounded_activations import bounds_shape, reduce_bounds
from faultbench.schemes.fitting.activation_recorder import profile_quantile
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.ft_clipact import FtClipAct, ThresholdResilience
from faultbench.schemes.scheme import Fitting, equal_bounds, granularities, protect_copy
from faultbench.system.errors import FaultbenchError
from tests.builders.fittings import as_it_is, on_noise
from tests.builders.networks import N_CLASSES, SHAPE, names, randomise, same_bits, some_images

INF, NAN = math.inf, math.nan
CATALOGUE = registry.catalogue("scheme")
SCHEMES = list(CATALOGUE)
MODULES: dict[str, nn.Module] = {
    "Threshold": nn.Threshold(0.2, -0.5),
    "ELU": nn.ELU(0.1),
    "CELU": nn.CELU(2.5),
    "GELU": nn.GELU(approximate="tanh"),
}
"""Those that need arguments, or that are tried with others than their defaults."""

BUILT = {kind.__name__: MODULES.get(kind.__name__) or kind() for kind in FLOORS}


class Calls(nn.Module):
    """Two convolutions and a linear layer, each of the two followed by an activation, whose result is read twice."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.linear = nn.Linear(72, N_CLASSES)
        randomise(self, seed=4)
        self.activation = activation  # a module keeps its own parameters

    def forward(self, x: Tensor) -> Tensor:
        before = self.first(3 * x)
        x = self.activation(before)
        x = self.activation(self.second(x) + before)  # sees the result where the activation is in place
        return self.linear(x.flatten(1))


def in_place(kind: type[nn.Module], *arguments: Any) -> nn.Module:
    return kind(*arguments, inplace=True)


CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    **BUILT,
    **{
        f"{kind.__name__} in place": in_place(kind)
        for kind in (nn.ReLU6, nn.SiLU, nn.Mish, nn.Hardswish, nn.SELU, nn.ELU, nn.CELU, nn.LeakyReLU, nn.RReLU)
    },
    "F.gelu": F.gelu,
    "F.silu": F.silu,
    "F.silu by keyword": lambda x: F.silu(input=x, inplace=True),
    "F.hardswish by place": lambda x: F.hardswish(x, True),
    "F.leaky_relu": lambda x: F.leaky_relu(x, 0.2, inplace=True),
    "F.leaky_relu_": lambda x: F.leaky_relu_(x, 0.3),
    "F.elu": lambda x: F.elu(x, 2.0, True),
    "F.elu by keyword": lambda x: F.elu(x, inplace=True, alpha=0.3),
    "F.elu_": lambda x: F.elu_(x, 0.7),
    "F.selu_": F.selu_,
    "torch.selu": torch.selu,
    "torch.celu_": lambda x: torch.celu_(x, 1.5),
    "F.mish": F.mish,
    "F.softplus": F.softplus,
    "F.logsigmoid": F.logsigmoid,
    "F.hardshrink": F.hardshrink,
    "a method": lambda x: x.hardshrink(0.1),
    "F.threshold": lambda x: F.threshold(x, 0.2, -0.5, inplace=True),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_a_site_and_nothing_changes_bit_for_bit_until_it_is_bounded(call: str) -> None:
    images = some_images(20)
    with torch.inference_mode():
        expected = Calls(CALLS[call]).eval()(images)
        network = trace(Calls(CALLS[call]), SHAPE)
        assert len(network.sites) == 2
        assert len(set(names(network.sites))) == 2
        assert network.sites[0].feeding == ("first",)
        assert [type(network.at(site)) for site in network.sites] == 2 * [nn.ReLU if call == "ReLU" else nn.Identity]
        assert same_bits(network(images), expected)
        for name in SCHEMES:
            scheme = registry.build("scheme", name, {})
            assert same_bits(protect_copy(network, scheme, equal_bounds(network, scheme, INF))(images), expected)
            if name != "relu":
                silent = protect_copy(network, scheme, equal_bounds(network, scheme, 0.0))(images)
                assert not torch.equal(silent, expected)


@pytest.mark.parametrize("call", CALLS)
def test_no_activation_is_in_place_any_more(call: str) -> None:
    network = trace(Calls(CALLS[call]), SHAPE)
    seen: list[tuple[Tensor, Tensor]] = []
    for layer in ("first", "second"):
        network.graph.get_submodule(layer).register_forward_hook(lambda _, __, y: seen.append((y, y.clone())))
    with torch.inference_mode():
        network(some_images())
    assert len(seen) == 2
    assert all(same_bits(*pair) for pair in seen)


@pytest.mark.parametrize("name", BUILT)
def test_no_value_lies_below_the_floor_and_a_finite_floor_is_reached(name: str) -> None:
    (floor, other) = (site.floor for site in trace(Calls(BUILT[name]), SHAPE).sites)
    assert floor == other
    values = BUILT[name].eval()(torch.cat([torch.linspace(-100, 100, 2_000_001), torch.tensor([-3e38, 3e38])]))
    lowest = values.min().item()
    if math.isfinite(floor):
        assert floor <= lowest <= 0.998 * floor + 1e-9
    else:
        assert name in (
            "LeakyReLU",
            "PReLU",
            "RReLU",
            "Hardshrink",
            "Softshrink",
            "Tanhshrink",
            "LogSigmoid",
            "Threshold",
        )
    assert values.max().item() > 1e38 or name in ("LogSigmoid", "ReLU6")  # no lower end; and a network of caps as well


def test_an_alpha_that_is_computed_leaves_no_floor() -> None:
    class Computed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(36, N_CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            return self.linear(F.elu(x, x.size(1) / 36))

    network = trace(Computed(), SHAPE)
    assert [site.floor for site in network.sites] == [-INF]


GATES = [nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh(), nn.Hardtanh(), nn.Softsign(), torch.sigmoid, F.hardsigmoid]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: getattr(gate, "__name__", str(gate)))
def test_gates_whose_own_range_is_bounded_are_no_sites(gate: Callable[[Tensor], Tensor]) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.silu, self.gate = nn.Conv2d(1, 2, 3, padding=1), nn.SiLU(), gate
            self.linear = nn.Linear(72, N_CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = self.silu(self.first(x))
            return self.linear((x * self.gate(x)).flatten(1))

    assert names(trace(Gated(), SHAPE).sites) == ["silu"]
    with pytest.raises(FaultbenchError, match=r": no activation without an upper end is called, so there is nothing"):
        trace(Calls(gate), SHAPE)


FLOOR = -0.17
GELU_LIKE = {"below": "answered", "floor": "y", "negative": "y", "−Inf": "answered"}
MIRRORED = {"below": "mirrored", "floor": "y", "negative": "y", "−Inf": "mirrored"}
AS_RELU = {"below": "answered", "floor": "answered", "negative": "answered", "−Inf": "answered"}
BEHIND: dict[str, tuple[float, dict[str, str]]] = {
    "ReLU6, Softplus": (0.0, AS_RELU),
    "GELU and its like": (FLOOR, GELU_LIKE),
    "LeakyReLU and its like": (-INF, MIRRORED),
}
"""Activations → their floor and what becomes of values below 0; from 0 on, and NaN, it is what the scheme says."""

VALUES = {"below": -2.5, "floor": FLOOR, "negative": -0.1, "zero": 0.0, "inside": 0.9, "at": 1.0, "above": 2.5}
INFINITE = {"+Inf": INF, "−Inf": -INF, "NaN": NAN}


@pytest.mark.parametrize("policy", ["zero", "propagate"])
@pytest.mark.parametrize("where", [*VALUES, *INFINITE])
@pytest.mark.parametrize("scheme", [name for name, declared in CATALOGUE.items() if "nan_policy" in declared.options])
@pytest.mark.parametrize("kind", BEHIND)
def test_every_cell_of_the_table_behind_an_activation(kind: str, scheme: str, where: str, policy: str) -> None:
    floor, below = BEHIND[kind]
    activation = registry.build("scheme", scheme, {"nan_policy": policy}).activation(torch.tensor(1.0))
    site = BehindActivation(floor)
    site.inner = activation
    y = torch.tensor({**VALUES, **INFINITE}[where])
    wanted = below.get(where, "answered")
    found = site(y)
    if wanted == "y":
        # Behind LeakyReLU the smooth form takes off what it takes off a value of this size on the other side.
        exact = scheme in ("clip_act", "ranger", "ft_clipact") or floor == FLOOR
        torch.testing.assert_close(found, y, rtol=0, atol=0.0 if exact else 1e-6)
    else:
        expected = -activation(-y) if wanted == "mirrored" else activation(y)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert policy == "propagate" or bool(torch.isfinite(found))


def test_negative_zeros_and_payloads_pass_an_unbounded_site() -> None:
    odd = torch.tensor([-0.0, 0.0, -0.1, INF, -INF, NAN, -1e-42])
    for floor in (0.0, FLOOR, -INF):
        site = BehindActivation(floor)
        assert same_bits(site(odd), odd)
        if floor:
            site.inner = registry.build("scheme", "clip_act", {}).activation(torch.tensor(INF))
            assert same_bits(site(odd[:3]), odd[:3])


@pytest.mark.parametrize("floor", [FLOOR, -INF])
def test_gradients_behind_an_activation_are_those_of_finite_differences(floor: float) -> None:
    y = torch.tensor([-0.15, -0.05, 0.4, 0.9, 1.1, 1.6], dtype=torch.float64, requires_grad=True)
    bounds = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def apply(y: Tensor, bounds: Tensor) -> Tensor:
        site = BehindActivation(floor)
        site.inner = registry.build("scheme", "fitact", {}).activation(bounds)
        del site.inner.bounds
        site.inner.bounds = bounds  # type: ignore[assignment]  # the tensor itself, so that gradients reach it
        return site(y)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(apply, (y, bounds))


def mixed() -> Network:
    """A site behind each kind of activation, the last one of tokens by channels."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.swish = nn.Conv2d(1, 4, 3, padding=1), nn.Hardswish(inplace=True)
            self.second, self.leaky = nn.Conv2d(4, 4, 3, padding=1), nn.LeakyReLU(1.5, inplace=True)
            self.mlp, self.gelu, self.linear = nn.Linear(4, 5), nn.GELU(), nn.Linear(5, N_CLASSES)
            randomise(self, seed=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.leaky(self.second(self.swish(self.conv(2 * x))))
            tokens = self.gelu(self.mlp(x.flatten(2).transpose(1, 2)))
            return self.linear(tokens.mean(dim=1))

    model = Mixed()
    network = trace(model, SHAPE)
    with torch.no_grad():
        model.linear.bias -= network(some_images(500, seed=3)).mean(dim=0)
    return network


@pytest.fixture
def fitting() -> Fitting:
    network = mixed()
    with torch.no_grad():
        images = [Images(pixels, network(pixels).argmax(1)) for pixels in (some_images(40, seed=s) for s in (1, 2))]
    return on_noise(network=network, train=images[0], calibration=images[1], augment=as_it_is)


def test_sites_know_their_floor_and_where_their_channels_are() -> None:
    swish, leaky, gelu = mixed().sites
    assert [site.floor for site in (swish, leaky)] == [pytest.approx(-0.375375), -INF]
    assert gelu.floor == pytest.approx(-0.17014, abs=1e-5)
    assert [site.shape for site in (swish, leaky, gelu)] == [(4, 6, 6), (4, 6, 6), (36, 5)]
    assert [site.channel_axis for site in (swish, leaky, gelu)] == [0, 0, 1]
    assert gelu.feeding == ("mlp",)


def outputs(network: Network, pixels: Tensor) -> dict[str, Tensor]:
    """The oracle: what the activations themselves give."""
    found: dict[str, Tensor] = {}
    for site in network.sites:
        network.graph.get_submodule(site.name).register_forward_hook(
            lambda _, __, y, name=site.name: found.update({name: y})
        )
    with torch.inference_mode():
        network(pixels)
    return found


def test_profiles_are_of_magnitudes_where_there_is_no_floor_and_never_negative(fitting: Fitting) -> None:
    seen = outputs(fitting.network.copy(), fitting.train.pixels)
    assert -float(seen["leaky"].min()) > float(seen["leaky"].max())  # so that magnitudes make a difference
    tops = {"swish": seen["swish"].clamp(min=0), "leaky": seen["leaky"].abs(), "gelu": seen["gelu"].clamp(min=0)}
    for granularity, axes in (("layer", (0, 1, 2, 3)), ("neuron", (0,))):
        bounds = profiled_bounds(fitting, dict.fromkeys(tops, granularity))  # type: ignore[arg-type]
        for name, top in tops.items():
            expected = top.amax(dim=axes[: top.dim()])
            torch.testing.assert_close(bounds[name], expected, rtol=1e-5, atol=1e-6)
    bounds = profiled_bounds(fitting, dict.fromkeys(tops, "channel"))
    torch.testing.assert_close(bounds["leaky"].flatten(), tops["leaky"].amax(dim=(0, 2, 3)), rtol=1e-5, atol=1e-6)
    assert bounds["gelu"].shape == (1, 5)
    torch.testing.assert_close(bounds["gelu"].flatten(), tops["gelu"].amax(dim=(0, 1)), rtol=1e-5, atol=1e-6)
    median = profile_quantile(fitting.network, fitting.train, {"gelu": "channel"}, 0.5, batch=7)["gelu"]
    expected = torch.quantile(tops["gelu"].flatten(0, 1), 0.5, dim=0, keepdim=True)
    torch.testing.assert_close(median, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_fitted_and_bounded_at_the_profile_costs_nothing(name: str, fitting: Fitting) -> None:
    options = {"ft_clipact": {"injections": 1, "rates": (1e-3, 1e-2)}, "hyrelu_proact": {"tolerance": 0.1}}.get(
        name, {}
    )
    scheme = registry.build("scheme", name, options)
    fitted = scheme.fit(fitting)
    assert set(fitted.bounds) == set(granularities(fitting.network, scheme))
    assert all(bool(torch.isfinite(bounds).all()) for bounds in fitted.bounds.values())
    network = protect_copy(fitting.network, scheme, fitted.bounds)
    stored = {parameter.name: parameter.tensor for parameter in network.parameters() if parameter.kind == "bounds"}
    assert stored.keys() == {f"bounds.{site}" for site in fitted.bounds}
    assert all(same_bits(stored[f"bounds.{site}"], bounds) for site, bounds in fitted.bounds.items())
    if name in ("relu", "clip_act", "ranger"):
        pixels = fitting.train.pixels[: fitting.batch]
        with torch.inference_mode():
            assert same_bits(network(pixels), fitting.network(pixels))


def test_a_threshold_of_0_is_no_dead_layer_behind_a_gelu_and_is_searched_at(fitting: Fitting) -> None:
    swish, leaky, gelu = fitting.network.sites
    for site, is_dead in ((swish, False), (leaky, True), (gelu, False)):
        resilience = ThresholdResilience(fitting, site, (1e-2, 2e-2), 2)
        resilience(0.0)
        assert (resilience.n_injections == 0) is is_dead


def test_trained_bounds_shrink_behind_every_kind_of_activation(fitting: Fitting) -> None:
    scheme = registry.build("scheme", "fitact", {"zeta": 1e3})
    start = profiled_bounds(fitting, granularities(fitting.network, scheme))
    for name, bounds in scheme.fit(fitting).bounds.items():
        fired = start[name] > 0
        assert float((bounds - start[name])[fired].max()) < 0


def test_the_threshold_search_takes_sites_of_every_kind(fitting: Fitting) -> None:
    fitted = FtClipAct(injections=1, rates=(1e-3, 1e-2)).fit(fitting)
    maxima = profiled_bounds(fitting, granularities(fitting.network, FtClipAct()))
    assert all(0 <= float(bounds) <= float(maxima[name]) for name, bounds in fitted.bounds.items())
    assert fitted.n_injections > 0


def test_a_site_has_a_bound_a_channel_wherever_its_channels_are() -> None:
    tokens = Site(0, "gelu", (36, 5), ("mlp",), channel_axis=1)
    swin = Site(1, "gelu", (3, 4, 5), ("mlp",), channel_axis=2)
    assert [bounds_shape(site, "channel") for site in (tokens, swin)] == [(1, 5), (1, 1, 5)]
    for site in (tokens, swin):
        values = torch.rand(site.shape)
        reduced = reduce_bounds(values, "channel", site.channel_axis)
        assert reduced.shape == bounds_shape(site, "channel")
        assert torch.equal(reduced.flatten(), values.reshape(-1, 5).amax(dim=0))
