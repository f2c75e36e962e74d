"""Bounded activations give the stated output for every kind of input, NaN and infinities included."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins import registry
from faultbench.schemes.bounded_activations import (
    BoundedActivation,
    ClipToZero,
    Saturate,
    Smooth,
    bounds_shape,
    reduce_bounds,
)
from faultbench.schemes.fitting.bound_training import STEEPNESS
from tests.builders.networks import same_bits

SITE = Site(0, "relu", (2, 2, 3), ("conv",))
INF, NAN = math.inf, math.nan

AT_TWO = [-1.0, 0.0, 1.0, 1.9, 2.0, 2.1, 3.0, 1e4]
"""Inputs of the published check values, at a bound of 2."""


def row(activation: nn.Module, inputs: list[float]) -> list[float]:
    values: list[float] = activation(torch.tensor(inputs)).tolist()
    return values


def test_the_smooth_form_has_its_published_values_at_a_bound_of_2() -> None:
    values = row(Smooth(torch.tensor(2.0), steepness=20), AT_TWO)
    assert values == pytest.approx([0, 0, 1, 1.6735, 1.0, 0.2503, 0, 0], abs=5e-5)


def test_clipping_to_zero_has_its_published_values_at_a_bound_of_2() -> None:
    assert row(ClipToZero(torch.tensor(2.0)), AT_TWO) == pytest.approx([0, 0, 1, 1.9, 2, 0, 0, 0])


def test_saturation_holds_what_is_above_a_bound_of_2_at_2() -> None:
    assert row(Saturate(torch.tensor(2.0)), AT_TWO) == pytest.approx([0, 0, 1, 1.9, 2, 2, 2, 2])


@pytest.mark.parametrize(
    ("bound", "peak", "within"),
    [(0.5, 0.352, 5e-4), (1.0, 0.811, 5e-4), (2.0, 1.772, 5e-4), (5.0, 4.72, 5e-3), (20.0, 19.65, 5e-3)],
)
def test_the_smooth_form_peaks_where_it_is_published_to(bound: float, peak: float, within: float) -> None:
    x = torch.linspace(0, 1.5 * bound, 100_001)
    assert float(Smooth(torch.tensor(bound), steepness=STEEPNESS)(x).max()) == pytest.approx(peak, abs=within)


def smooth(x: float, bound: float) -> float:
    return x / (1 + math.exp(-20 * (bound - x)))


TABLE: dict[str, dict[str, Any]] = {
    "clip_act": {"above": 0, "+Inf": 0},
    "ranger": {"above": "bound", "+Inf": "bound"},
    "ft_clipact": {"above": 0, "+Inf": 0},
    "fitact": {"inside": smooth, "at": smooth, "above": smooth, "+Inf": 0},
    "hyrelu_proact": {"inside": smooth, "at": smooth, "above": smooth, "+Inf": 0},
}
"""Scheme → what it gives where; the cells that all share are filled in below."""

SHARED: dict[str, Any] = {"below": 0, "zero": 0, "inside": "x", "at": "x", "−Inf": 0, "NaN": 0}

INPUTS = {"below": -3, "zero": 0, "inside": 0.75, "at": 1, "above": 1.5, "+Inf": INF, "−Inf": -INF, "NaN": NAN}
"""Inputs as multiples of the bound."""


def some_bounds(granularity: str) -> Tensor:
    """Bounds of SITE, all different."""
    shape = bounds_shape(SITE, granularity)  # type: ignore[arg-type]  # one of the three
    return torch.linspace(0.5, 6, math.prod(shape)).reshape(shape)


@pytest.mark.parametrize("where", INPUTS)
@pytest.mark.parametrize("granularity", ["layer", "channel", "neuron"])
@pytest.mark.parametrize("scheme", TABLE)
def test_every_cell_of_the_table(scheme: str, granularity: str, where: str) -> None:
    bounds = some_bounds(granularity)
    activation = registry.build("scheme", scheme, {}).activation(bounds)
    a_bound_each = bounds.expand(2, *SITE.shape)  # of two images
    x = a_bound_each * INPUTS[where]
    expected = {**SHARED, **TABLE[scheme]}[where]
    for value, given_x, bound in zip(*(t.flatten().tolist() for t in (activation(x), x, a_bound_each)), strict=True):
        if callable(expected):
            assert value == pytest.approx(expected(given_x, bound), rel=1e-4, abs=1e-6)
        else:
            assert value == {"x": given_x, "bound": bound}.get(expected, expected)


def test_the_table_of_the_manual_names_the_schemes_of_this_table() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert set(TABLE) <= {name for name in registry.catalogue("scheme") if f"`{name}`" in manual}


def test_options_choose_the_activation() -> None:
    bounds = torch.ones(())
    for scheme, options, activation in (
        ("ranger", {}, Saturate),
        ("ranger", {"out_of_range": "zero"}, ClipToZero),
        ("fitact", {}, Smooth),
        ("fitact", {"deploy": "hard"}, ClipToZero),
        ("hyrelu_proact", {}, Smooth),
        ("hyrelu_proact", {"deploy": "hard"}, ClipToZero),
    ):
        assert type(registry.build("scheme", scheme, options).activation(bounds)) is activation


@pytest.mark.parametrize("granularity", ["layer", "channel", "neuron"])
@pytest.mark.parametrize("scheme", ["clip_act", "ranger"])
def test_a_granularity_chosen_is_that_of_every_site(scheme: str, granularity: str) -> None:
    chosen = registry.build("scheme", scheme, {"granularity": granularity})
    assert [chosen.granularity_at(SITE, is_last=is_last) for is_last in (False, True)] == [granularity] * 2


any_float = st.integers(0, 2**32 - 1).map(
    lambda bits: float(np.array(bits, dtype=np.uint32).view(np.float32))
) | st.floats(-5, 5, width=32)
finite = any_float.filter(math.isfinite)


@given(xs=st.lists(any_float, min_size=1, max_size=30), bound=finite)
def test_with_a_finite_bound_no_input_gives_an_output_that_is_not_finite(xs: list[float], bound: float) -> None:
    for activation in every_activation(torch.tensor(bound)):
        assert bool(torch.isfinite(activation(torch.tensor(xs))).all())


@given(xs=st.lists(any_float, min_size=1, max_size=30), bound=any_float)
@example(xs=[INF, NAN], bound=torch.finfo(torch.float32).max)
@example(xs=[INF, -INF], bound=INF)
def test_clipping_to_zero_keeps_what_lies_within_the_bound_and_nothing_else(xs: list[float], bound: float) -> None:
    x = torch.tensor(xs)
    inside = (x > 0) & (x <= bound) & torch.isfinite(x)
    assert torch.equal(ClipToZero(torch.tensor(bound))(x), torch.where(inside, x, 0.0))


@given(xs=st.lists(finite, min_size=1, max_size=30))
def test_with_infinite_bounds_every_activation_is_a_relu_on_finite_inputs(xs: list[float]) -> None:
    x = torch.tensor(xs)
    for activation in every_activation(torch.tensor(INF)):
        assert torch.equal(activation(x), torch.relu(x))


def test_saturation_at_an_infinite_bound_is_a_relu_at_infinity_too() -> None:
    assert row(Saturate(torch.tensor(INF)), [INF, -INF, NAN, 3e38]) == pytest.approx([INF, 0, 0, 3e38])


def every_activation(bounds: Tensor) -> list[BoundedActivation]:
    return [ClipToZero(bounds), Saturate(bounds), Smooth(bounds, steepness=STEEPNESS)]


SPECIAL = torch.tensor([-INF, -1e30, -1.0, -0.0, 0.0, 0.5, 1.0, 1.5, 1e30, INF, NAN]).repeat(3, 2)


def test_inputs_are_not_changed_with_or_without_gradients() -> None:
    for activation in every_activation(torch.ones(22)):
        for requires_grad in (False, True):
            x = SPECIAL.clone().requires_grad_(requires_grad)
            with torch.set_grad_enabled(requires_grad):
                activation(x)
            assert same_bits(x, SPECIAL)


def test_outputs_are_the_same_with_and_without_gradients() -> None:
    for activation in every_activation(torch.ones(22)):
        with torch.inference_mode():
            expected = activation(SPECIAL)
        assert torch.equal(activation(SPECIAL), expected)
        assert torch.equal(activation(SPECIAL.clone().requires_grad_()), expected)
        activation.bounds.requires_grad_()
        assert torch.equal(activation(SPECIAL), expected)


def test_bounds_are_a_copy_that_no_training_of_weights_moves() -> None:
    given_bounds = torch.ones(3)
    for activation in every_activation(given_bounds):
        assert activation.bounds.data_ptr() != given_bounds.data_ptr()
        assert not activation.bounds.requires_grad
        assert [name for name, _ in activation.named_parameters()] == ["bounds"]


@pytest.mark.parametrize("granularity", ["layer", "channel", "neuron"])
def test_the_smooth_forms_gradients_are_those_of_finite_differences(granularity: str) -> None:
    bounds = some_bounds(granularity).double().requires_grad_()
    # Around the bounds, where gates move, and away from 0, where the ReLU has its kink.
    x = torch.randn(2, *SITE.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.2
    x = (x + bounds.detach()).requires_grad_()
    assert float(x.detach().abs().min()) > 0.01

    def apply(x: Tensor, bounds: Tensor) -> Tensor:
        activation = Smooth(bounds, steepness=3.0)
        del activation.bounds
        activation.bounds = bounds  # type: ignore[assignment]  # the tensor itself, so that gradients reach it
        return activation(x)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(apply, (x, bounds))


def test_a_bound_gets_its_gradient_from_activations_close_to_it() -> None:
    gradients = []
    for x in (1.0, 1.7, 2.0, 2.3, 3.0):
        activation = Smooth(torch.tensor(2.0), steepness=STEEPNESS)
        activation.bounds.requires_grad_()
        activation(torch.tensor([x])).backward()
        gradients.append(float(activation.bounds.grad))
    assert gradients[0] < 1e-6 > gradients[4]
    assert gradients[1:4] == pytest.approx([0.0837, 10.0, 0.1134], abs=1e-3)  # x·k·σ(1 − σ)


def test_clipping_and_saturation_let_gradients_through_inside_the_bound_only() -> None:
    for activation in (ClipToZero(torch.tensor(2.0)), Saturate(torch.tensor(2.0))):
        x = torch.tensor([-1.0, 1.0, 3.0], requires_grad=True)
        activation(x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 1, 0]


def test_a_site_has_one_bound_one_a_channel_or_one_a_neuron() -> None:
    assert [bounds_shape(SITE, grain) for grain in ("layer", "channel", "neuron")] == [(), (2, 1, 1), (2, 2, 3)]
    flat = Site(1, "fc", (7,), ("linear",))
    assert [bounds_shape(flat, grain) for grain in ("layer", "channel", "neuron")] == [(), (7,), (7,)]


def test_reduced_bounds_are_the_largest_of_each_layer_or_channel() -> None:
    neurons = torch.tensor([[[1.0, 5.0, 2.0], [0.0, 3.0, 1.0]], [[4.0, 0.5, 9.0], [7.0, 8.0, 6.0]]])
    assert reduce_bounds(neurons, "layer").tolist() == 9.0
    assert reduce_bounds(neurons, "channel").tolist() == [[[5.0]], [[9.0]]]
    assert torch.equal(reduce_bounds(neurons, "neuron"), neurons)
    flat = torch.tensor([3.0, 1.0, 2.0])
    assert reduce_bounds(flat, "layer").tolist() == 3.0
    assert reduce_bounds(flat, "channel").tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("shape", [(2, 2, 3), (7,), (4, 1, 1)])
@pytest.mark.parametrize("granularity", ["layer", "channel", "neuron"])
def test_reduced_bounds_have_the_shape_of_their_granularity(granularity: Any, shape: tuple[int, ...]) -> None:
    site = Site(0, "relu", shape, ())
    assert reduce_bounds(torch.rand(shape), granularity).shape == bounds_shape(site, granularity)
