"""Every activation scheme keeps the same laws, with every choice of its options, on digits.

Fitting is the real thing, cut short: fewer training images, epochs and injections.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from fittings import on_digits
from networks import same_bits, state_of, unchanged
from torch import Tensor

from faultbench.datasets import Splits
from faultbench.networks.network import Network
from faultbench.networks.training import accuracy
from faultbench.plugins import registry
from faultbench.schemes import fitact, ft_clipact, hyrelu_proact
from faultbench.schemes.bounded_activations import bounds_shape
from faultbench.schemes.scheme import Fitted, Fitting, Scheme, granularities, protected

N_TRAIN, N_CALIBRATION = 320, 100

NOT_FITTED = {"nan_policy"}
"""Options that only change what is deployed, and have tests of their own."""


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Every scheme with its defaults, and with every other choice of one option that fitting might heed."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, entry in registry.catalogue("scheme").items():
        found.append((name, {}))
        for option, declared in entry.options.items():
            if get_origin(declared.annotation) is Literal and option not in NOT_FITTED:
                others = set(get_args(declared.annotation)) - {declared.default}
                found += [(name, {option: choice}) for choice in sorted(others)]
    return found


@pytest.fixture(scope="module", autouse=True)
def cut_short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fitact.RECIPES, "fast", replace(fitact.RECIPES["fast"], n_epochs=2))
        patch.setitem(hyrelu_proact.RECIPES, "fast", replace(hyrelu_proact.RECIPES["fast"], n_epochs=(1, 2)))
        patch.setitem(ft_clipact.N_INJECTIONS, "fast", 1)
        yield


@dataclass
class Case:
    """A scheme, what it was given, and the bounds it found."""

    scheme: Scheme
    fitting: Fitting
    before: dict[str, Tensor]
    fitted: Fitted

    @property
    def protected(self) -> Network:
        return protected(self.fitting.network, self.scheme, self.fitted.bounds)


@pytest.fixture(scope="module", params=variants(), ids=lambda variant: "-".join((variant[0], *variant[1].values())))
def case(request: pytest.FixtureRequest, digits_cnn: Network, digits: Splits) -> Case:
    scheme = registry.build("scheme", *request.param)
    calibration = digits.calibration.first(N_CALIBRATION)
    fitting = on_digits(digits_cnn.copy(), digits, n_train=N_TRAIN, calibration=calibration)
    before = state_of(fitting.network)
    return Case(scheme, fitting, before, scheme.fit(fitting))


def test_fitting_leaves_the_given_network_bit_for_bit(case: Case) -> None:
    assert unchanged(case.fitting.network, case.before)
    assert not case.fitting.network.graph.training
    assert all(type(case.fitting.network.at(site)) is torch.nn.ReLU for site in case.fitting.network.sites)
    assert all(parameter.requires_grad for parameter in case.fitting.network.graph.parameters())
    assert all(parameter.grad is None for parameter in case.fitting.network.graph.parameters())


def test_bounds_are_finite_of_the_shape_their_granularity_says_and_none_is_missing(case: Case) -> None:
    expected = granularities(case.fitting.network, case.scheme)
    assert set(case.fitted.bounds) == set(expected)
    sites = {site.name: site for site in case.fitting.network.sites}
    for name, bounds in case.fitted.bounds.items():
        assert bounds.shape == bounds_shape(sites[name], expected[name])
        assert bounds.dtype == torch.float32
        assert bool(torch.isfinite(bounds).all())
        assert bounds.max() > 0


def test_the_same_seed_gives_the_same_bounds_bit_for_bit(case: Case) -> None:
    torch.manual_seed(99)  # nothing may depend on torch's own stream
    again = case.scheme.fit(case.fitting)
    assert again.bounds.keys() == case.fitted.bounds.keys()
    assert all(same_bits(again.bounds[name], bounds) for name, bounds in case.fitted.bounds.items())
    assert (again.n_epochs, again.n_injections) == (case.fitted.n_epochs, case.fitted.n_injections)


def test_fitted_bounds_cost_at_most_2_points_of_accuracy(case: Case) -> None:
    calibration = case.fitting.calibration
    unprotected, with_bounds = (accuracy(n, calibration, batch=250) for n in (case.fitting.network, case.protected))
    assert with_bounds >= unprotected - 0.02


def test_with_infinite_bounds_the_logits_are_those_of_the_unprotected_network(case: Case) -> None:
    unbounded = {name: torch.full_like(bounds, math.inf) for name, bounds in case.fitted.bounds.items()}
    pixels = case.fitting.calibration.pixels[:50]
    with torch.inference_mode():
        logits = protected(case.fitting.network, case.scheme, unbounded)(pixels)
        assert torch.equal(logits, case.fitting.network(pixels))


def test_bounds_lie_in_memory_at_their_sites_and_nowhere_else(case: Case) -> None:
    network = case.protected
    stored = {parameter.owner: parameter for parameter in network.parameters() if parameter.kind == "bounds"}
    assert list(stored) == [site.name for site in network.sites if site.name in case.fitted.bounds]
    assert len(stored) == len(case.fitted.bounds)
    for name, bounds in case.fitted.bounds.items():
        assert stored[name].name == f"bounds.{name}"
        assert same_bits(stored[name].tensor, bounds)
    n_parameters = sum(parameter.numel() for parameter in case.fitting.network.graph.parameters())
    n_bounds = sum(bounds.numel() for bounds in case.fitted.bounds.values())
    assert sum(parameter.numel() for parameter in network.graph.parameters()) == n_parameters + n_bounds


def test_protecting_leaves_the_bounds_and_the_network_as_they_are(case: Case) -> None:
    values = {name: bounds.clone() for name, bounds in case.fitted.bounds.items()}
    network = case.protected
    for parameter in network.graph.parameters():
        torch.nn.init.zeros_(parameter)
    assert all(same_bits(bounds, values[name]) for name, bounds in case.fitted.bounds.items())
    assert unchanged(case.fitting.network, case.before)


def test_a_protected_site_gives_what_is_finite_whatever_comes(case: Case) -> None:
    for site in case.fitting.network.sites:
        if site.name in case.fitted.bounds:
            x = torch.tensor([math.inf, -math.inf, math.nan, 3e38, -3e38]).view(5, *(1 for _ in site.shape))
            finite = torch.isfinite(case.protected.at(site)(x.expand(5, *site.shape)))
            assert bool(finite.all())


@pytest.mark.parametrize("name", registry.catalogue("scheme"))
def test_every_option_is_accepted_by_its_name_and_its_default_is_the_schemes(name: str) -> None:
    entry = registry.catalogue("scheme")[name]
    defaults = {option: declared.default for option, declared in entry.options.items()}
    scheme = registry.build("scheme", name, defaults)
    assert scheme == registry.build("scheme", name, {})
    assert asdict(scheme) == defaults
    for option in defaults:
        assert registry.build("scheme", name, {option: "other"}) != scheme
