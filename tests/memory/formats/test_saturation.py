"""Values outside the range of a number format."""

import math

import pytest
import torch

from faultbench.memory.formats.saturation import range_text, saturated
from faultbench.plugins import registry


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("q3.4", -8.0, 7.9375), ("q0.7", -1.0, 0.9921875), ("q15.16", -32768.0, 32768.0), ("float16", -65504.0, 65504.0)],
)
def test_a_value_is_saturated_from_just_outside_of_the_range_on(name: str, least: float, most: float) -> None:
    codec = registry.build("number_format", name, {})
    inside = torch.tensor([least, most, 0.0, -0.0, least / 3, most / 7])
    assert not saturated(codec, inside).any()
    beyond = 2.0 ** (math.ceil(math.log2(most)) - 10)  # more than half of a step of float16 there
    assert saturated(codec, torch.tensor([least - beyond, most + beyond, 3e38, -3e38])).all()


def test_nothing_is_outside_of_float32_and_nothing_that_is_not_finite_counts() -> None:
    extremes = torch.tensor([3.4e38, -3.4e38, 1e-40])
    assert not saturated(registry.build("number_format", "float32", {}), extremes).any()
    not_finite = torch.tensor([math.inf, -math.inf, math.nan])
    assert not saturated(registry.build("number_format", "q3.4", {}), not_finite).any()


def test_fixed_point_saturates_outside_of_minus_2_to_the_m_and_2_to_the_m_less_a_step() -> None:
    codec = registry.build("number_format", "q2.5", {})
    values = torch.linspace(-9, 9, 10_001)
    assert torch.equal(saturated(codec, values), (values < -4) | (values > 4 - 2.0**-5))


def test_the_range_is_told_by_its_ends() -> None:
    assert range_text(registry.build("number_format", "q3.4", {})) == "-8 to 7.9375"
    assert range_text(registry.build("number_format", "float16", {})) == "-65504 to 65504"
