"""`nan_policy: propagate` computes what the released codes compute."""

import math
from typing import Any

import pytest
import torch

from faultbench.plugins import registry
from faultbench.plugins.registry import catalogue

INF, NAN = math.inf, math.nan
X = torch.tensor([-INF, -1.0, 0.0, 1.0, 2.0, 3.0, INF, NAN])
CLIPPED = [0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, NAN]
RELEASED = {
    "clip_act": ({}, CLIPPED),
    "ft_clipact": ({}, CLIPPED),
    "ranger": ({}, [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, NAN]),
    "fitact": ({"deploy": "hard"}, CLIPPED),
    "hyrelu_proact": ({"deploy": "hard"}, CLIPPED),
}


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("shape", [(), (8,)])
def test_nan_passes_and_inf_is_bounded(name: str, shape: tuple[int, ...]) -> None:
    options, expected = RELEASED[name]
    scheme = registry.build("scheme", name, {**options, "nan_policy": "propagate"})
    y = scheme.activation(torch.full(shape, 2.0))(X)
    torch.testing.assert_close(y, torch.tensor(expected), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["fitact", "hyrelu_proact"])
def test_the_smooth_form_taken_literally_gives_nan_for_inf(name: str) -> None:
    propagating: Any = registry.build("scheme", name, {"nan_policy": "propagate"}).activation(torch.tensor(2.0))
    y = propagating(X)
    assert y.isnan().tolist() == [False] * 6 + [True, True]
    finite = registry.build("scheme", name, {}).activation(torch.tensor(2.0))(X)
    assert torch.equal(finite[:6], y[:6])
    assert finite[6:].tolist() == [0.0, 0.0]


def test_every_scheme_with_bounds_has_a_nan_policy() -> None:
    assert {name for name, entry in catalogue("scheme").items() if "nan_policy" in entry.options} == set(RELEASED)
