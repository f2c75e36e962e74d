"""Contract of schemes: bounds of the right shape, fitted the same every time, that leave a network as it is.

Fitting is the real thing, cut short: a small network trained on the embedded digits, with few training images.
"""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import ClassVar, Literal, get_args, get_origin

import pytest
import torch
from torch import Tensor, nn

from faultbench.networks.network import Network
from faultbench.networks.training import measure_accuracy
from faultbench.schemes.bounded_activations import bounds_shape
from faultbench.schemes.fitting.bound_checks import fit_and_check
from faultbench.schemes.fitting.neutrality import require_neutral
from faultbench.schemes.scheme import Fitted, Fitting, Scheme, granularities, protect_copy
from faultbench.testing.contract import Contract
from faultbench.testing.digits_network import digits_fitting, load_digits, trained_digits_network
from faultbench.testing.selection import Plugin
from faultbench.testing.tensors import same_bits, state_of, unchanged

N_TRAIN, N_CALIBRATION = 320, 100


@dataclass
class FittedScheme:
    """Scheme, what it was given to fit its bounds, and the bounds."""

    scheme: Scheme
    fitting: Fitting
    before: dict[str, Tensor]
    fitted: Fitted

    @property
    def protected(self) -> Network:
        """Copy of the network with the scheme's activations and bounds."""
        return protect_copy(self.fitting.network, self.scheme, self.fitted.bounds)


class TestSchemes(Contract):
    """Every scheme, with its defaults and with every other choice of one option."""

    kind = "scheme"
    unfitted_options: ClassVar[Collection[str]] = ()
    """Options that change nothing of a fitting: their choices are not tried."""
    max_accuracy_drop: ClassVar[float] = 0.02
    """Accuracy that fitted bounds may cost, as a fraction of the images."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, plugin: Plugin) -> FittedScheme:
        """Fit a scheme on the digits; FaultbenchError for bounds that a run would refuse."""
        scheme, digits = plugin.build(), load_digits()
        calibration = digits.calibration.first(N_CALIBRATION)
        fitting = digits_fitting(trained_digits_network().copy(), digits, n_train=N_TRAIN, calibration=calibration)
        before = state_of(fitting.network)
        return FittedScheme(scheme, fitting, before, fit_and_check(scheme, fitting, plugin.file))

    def select(self, metafunc: pytest.Metafunc) -> list[Plugin]:
        """Return the schemes, each with its defaults and with every other choice of a Literal option."""
        return [variant for plugin in self.declared_plugins(metafunc) for variant in self._variants(plugin)]

    def _variants(self, plugin: Plugin) -> list[Plugin]:
        variants = [plugin]
        for name, option in plugin.declaration.options.items():
            if get_origin(option.annotation) is Literal and name not in self.unfitted_options:
                choices = sorted(set(get_args(option.annotation)) - {option.default})
                variants += [replace(plugin, options=((name, choice),)) for choice in choices]
        return variants

    def test_fitting_leaves_the_given_network_bit_for_bit(self, case: FittedScheme) -> None:
        network = case.fitting.network
        assert unchanged(network, case.before), "fit changed the given network; work on network.copy()"
        assert not network.graph.training, "fit left the given network in train mode"
        assert all(type(network.at(site)) is nn.ReLU for site in network.sites), "fit replaced activations of it"
        assert all(p.requires_grad and p.grad is None for p in network.graph.parameters()), "fit left gradients in it"

    def test_bounds_are_finite_of_the_shape_their_granularity_says_and_none_is_missing(
        self, case: FittedScheme
    ) -> None:
        expected = granularities(case.fitting.network, case.scheme)
        assert set(case.fitted.bounds) == set(expected), "fit must give bounds where granularity_at says so"
        sites = {site.name: site for site in case.fitting.network.sites}
        for name, bounds in case.fitted.bounds.items():
            assert bounds.shape == bounds_shape(sites[name], expected[name]), (
                f"bounds of site {name} have another shape"
            )
            assert bounds.dtype == torch.float32, f"bounds of site {name} must be float32"
            assert bool(torch.isfinite(bounds).all()), f"bounds of site {name} must be finite"
            assert bounds.max() > 0, f"bounds of site {name} clip everything"

    def test_the_same_seed_gives_the_same_bounds_bit_for_bit(self, case: FittedScheme) -> None:
        torch.manual_seed(99)  # nothing may depend on torch's own stream
        again = case.scheme.fit(case.fitting)
        assert again.bounds.keys() == case.fitted.bounds.keys()
        for name, bounds in case.fitted.bounds.items():
            reason = f"bounds of site {name} differ when fit runs again; draw from fitting.generator(…) alone"
            assert same_bits(again.bounds[name], bounds), reason
        assert (again.n_epochs, again.n_injections) == (case.fitted.n_epochs, case.fitted.n_injections)

    def test_fitted_bounds_cost_little_accuracy(self, case: FittedScheme) -> None:
        unprotected, protected = (
            measure_accuracy(network, case.fitting.calibration, batch=250)
            for network in (case.fitting.network, case.protected)
        )
        reason = f"accuracy falls from {unprotected:.1%} to {protected:.1%}; max_accuracy_drop says how far it may"
        assert protected >= unprotected - self.max_accuracy_drop, reason

    def test_a_network_whose_bounds_are_out_of_reach_has_the_values_of_the_unprotected_one(
        self, case: FittedScheme, plugin: Plugin
    ) -> None:
        require_neutral(case.fitting.network, case.scheme, case.fitting.calibration.pixels[:50], plugin.name)

    def test_bounds_lie_in_memory_at_their_sites_and_nowhere_else(self, case: FittedScheme) -> None:
        network = case.protected
        stored = {parameter.owner: parameter for parameter in network.parameters() if parameter.kind == "bounds"}
        reason = "an activation keeps its bounds as one parameter, bounds, as faultbench.schemes.BoundedActivation does"
        assert list(stored) == [site.name for site in network.sites if site.name in case.fitted.bounds], reason
        for name, bounds in case.fitted.bounds.items():
            assert stored[name].name == f"bounds.{name}", reason
            assert same_bits(stored[name].tensor, bounds), f"site {name} stores other bounds than fit gave"
        n_parameters = sum(parameter.numel() for parameter in case.fitting.network.graph.parameters())
        n_bounds = sum(bounds.numel() for bounds in case.fitted.bounds.values())
        n_stored = sum(parameter.numel() for parameter in network.graph.parameters())
        assert n_stored == n_parameters + n_bounds, "the activations have parameters besides their bounds"

    def test_protecting_leaves_the_bounds_and_the_network_as_they_are(self, case: FittedScheme) -> None:
        values = {name: bounds.clone() for name, bounds in case.fitted.bounds.items()}
        network = case.protected
        for parameter in network.graph.parameters():
            nn.init.zeros_(parameter)
        same = all(same_bits(bounds, values[name]) for name, bounds in case.fitted.bounds.items())
        assert same, "the activation shares memory with the given bounds; clone them"
        assert unchanged(case.fitting.network, case.before)

    def test_a_protected_site_gives_finite_values_for_any_input(self, case: FittedScheme) -> None:
        for site in case.fitting.network.sites:
            if site.name in case.fitted.bounds:
                x = torch.tensor([math.inf, -math.inf, math.nan, 3e38, -3e38]).view(5, *(1 for _ in site.shape))
                y = case.protected.at(site)(x.expand(5, *site.shape))
                reason = f"site {site.name} lets NaN or infinity pass; see faultbench.schemes.Saturate"
                assert bool(torch.isfinite(y).all()), reason

    def test_every_default_is_accepted_by_its_name_and_is_the_schemes(self, plugin: Plugin) -> None:
        defaults = {name: option.default for name, option in plugin.declaration.options.items()}
        named, plain = (replace(plugin, options=options).build() for options in (tuple(defaults.items()), ()))
        if is_dataclass(plain) and not isinstance(plain, type):
            assert asdict(plain) == asdict(named) == defaults, "fields that are not options must be ClassVar"
