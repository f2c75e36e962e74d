"""Activations with infinite bounds leave a network as it is, or the scheme is refused at the first site."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins import registry
from faultbench.schemes.fitting.bound_checks import fit_and_check
from faultbench.schemes.fitting.neutrality import require_neutral
from faultbench.schemes.scheme import Fitted, Fitting
from faultbench.system.errors import FaultbenchError
from tests.builders.fittings import on_noise
from tests.builders.networks import some_images


class Activation(nn.Module):
    """A formula of values and bounds."""

    def __init__(self, bounds: Tensor, formula: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.bounds, self.formula = nn.Parameter(bounds), formula

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x, self.bounds)


@dataclass(frozen=True)
class Lab:
    """A lab's scheme: one bound per layer."""

    formula: Callable[[Tensor, Tensor], Tensor]

    def granularity_at(self, site: Site, *, is_last: bool) -> str | None:  # noqa: ARG002 - the protocol's
        return "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        return Activation(bounds, self.formula)

    def fit(self, fitting: Fitting) -> Fitted:
        return Fitted({site.name: torch.full((), 2.0) for site in fitting.network.sites})


NEUTRAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "clipped": lambda x, bounds: torch.relu(x).clamp(max=bounds),
    "to zero": lambda x, bounds: torch.where(x <= bounds, torch.relu(x), 0.0),
    "smooth, not a number where infinite": lambda x, bounds: bounds * torch.tanh(torch.relu(x) / bounds),
}
OTHERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "no ReLU": lambda x, bounds: x.clamp(max=bounds),
    "leaky": lambda x, bounds: nn.functional.leaky_relu(x, 0.01).clamp(max=bounds),
    "scaled": lambda x, bounds: 1.001 * torch.relu(x).clamp(max=bounds),
    "turned around": lambda x, bounds: torch.where(x <= bounds, 0.0, torch.relu(x)),
    "noisy": lambda x, bounds: torch.relu(x + 0.1 * torch.rand_like(x)).clamp(max=bounds),
}


@pytest.mark.parametrize("formula", NEUTRAL.values(), ids=NEUTRAL)
def test_activations_that_change_nothing_below_their_bounds_are_taken(formula: Callable[..., Tensor]) -> None:
    assert len(fit_and_check(Lab(formula), on_noise(4)).bounds) == len(on_noise(4).network.sites)


@pytest.mark.parametrize("formula", OTHERS.values(), ids=OTHERS)
def test_activations_that_change_values_below_their_bounds_are_refused(formula: Callable[..., Tensor]) -> None:
    with pytest.raises(
        FaultbenchError, match=r"activation gives other values at site relu than the network without it"
    ):
        fit_and_check(Lab(formula), on_noise(4))


def test_every_scheme_of_faultbench_changes_nothing_and_leaves_the_network_as_it_is() -> None:
    fitting = on_noise(4)
    for name in registry.catalogue("scheme"):
        require_neutral(fitting.network, registry.build("scheme", name, {}), some_images(), name)
    assert not any(module._forward_hooks for module in fitting.network.graph.modules())
    assert all(type(fitting.network.at(site)) is nn.ReLU for site in fitting.network.sites)
