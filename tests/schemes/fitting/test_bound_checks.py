"""Bounds that are not finite, or do not match the scheme, make fitting fail with one line."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from faultbench.networks.network import Network, Site
from faultbench.plugins import registry
from faultbench.schemes.bounded_activations import Saturate, bounds_shape
from faultbench.schemes.fitting.bound_checks import fit_and_check
from faultbench.schemes.scheme import Fitted, Fitting
from faultbench.system.errors import FaultbenchError
from tests.builders.fittings import on_noise


@dataclass(frozen=True)
class Lab:
    """A lab's scheme: one bound per layer, as `change` makes them."""

    change: Callable[[dict[str, Any]], Any] = lambda bounds: Fitted(bounds)

    def granularity_at(self, site: Site, *, is_last: bool) -> str | None:  # noqa: ARG002 - the protocol's
        return "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        return Saturate(bounds)

    def fit(self, fitting: Fitting) -> Any:
        return self.change({site.name: torch.full((), 2.0) for site in fitting.network.sites})


def first(value: object) -> Callable[[dict[str, Any]], Fitted]:
    """Fitted whose first bound is another value."""
    return lambda bounds: Fitted({**bounds, next(iter(bounds)): value})


def shout(_: object) -> None:
    raise KeyError("lost")


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "NaN": (first(torch.tensor(torch.nan)), "bounds of site relu: 1 of 1 are NaN or infinite"),
    "infinity": (first(torch.tensor(torch.inf)), "bounds of site relu: 1 of 1 are NaN or infinite"),
    "negative": (first(torch.tensor(-1.0)), "bounds of site relu: must be at least 0; given -1"),
    "another shape": (first(torch.ones(1)), r"must be a float32 tensor \[\]; given a float32 tensor \[1\]"),
    "double": (first(torch.tensor(1.0).double()), r"must be a float32 tensor \[\]; given a float64 tensor \[\]"),
    "half": (first(torch.tensor(1.0).half()), "given a float16 tensor"),
    "whole": (first(torch.tensor(1)), "given a int64 tensor"),
    "a number": (first(2.0), "given 2.0"),
    "an unknown site": (lambda bounds: Fitted({**bounds, "relu9": torch.ones(())}), "site relu9 has bounds, but"),
    "a site less": (lambda bounds: Fitted(dict(list(bounds.items())[1:])), "site relu has no bounds"),
    "a list": (lambda bounds: Fitted(list(bounds.values())), "fit must give a faultbench.schemes.scheme.Fitted"),
    "a dict": (lambda bounds: bounds, "fit must give a faultbench.schemes.scheme.Fitted; given a dict"),
    "nothing": (lambda _: None, "given nothing"),
    "an error": (shout, "fit: KeyError: 'lost'"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_what_a_labs_scheme_fits_is_checked(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    with pytest.raises(FaultbenchError, match=message) as raised:
        fit_and_check(Lab(change), on_noise(4), Path("lab.py"))
    assert "\n" not in str(raised.value)


def test_sound_bounds_are_given_as_they_are_and_trained_ones_may_end_a_little_below_0() -> None:
    fitting = on_noise(4)
    assert {float(bound) for bound in fit_and_check(Lab(), fitting).bounds.values()} == {2.0}
    trained = Lab(lambda bounds: Fitted({name: bound - 2.001 for name, bound in bounds.items()}, n_epochs=3))
    assert fit_and_check(trained, fitting).n_epochs == 3


def overflowing() -> Network:
    """A network with values at its first site that float32 cannot hold."""
    network = on_noise(4).network
    with torch.no_grad():
        next(network.graph.parameters()).fill_(3e38)
    return network


@pytest.mark.parametrize("scheme", [name for name in registry.catalogue("scheme") if name != "relu"])
def test_no_scheme_gives_bounds_that_are_not_finite(scheme: str) -> None:
    fitting = replace(on_noise(8), network=overflowing(), title="fit it")
    built = registry.build("scheme", scheme, {"injections": 1} if scheme == "ft_clipact" else {})
    with pytest.raises(FaultbenchError, match=r"^fit it: "):
        fit_and_check(built, fitting)


def test_bounds_have_the_shape_of_their_granularity() -> None:
    fitting = on_noise(8)
    for granularity in ("layer", "channel", "neuron"):
        fitted = fit_and_check(registry.build("scheme", "clip_act", {"granularity": granularity}), fitting)
        for site in fitting.network.sites:
            assert tuple(fitted.bounds[site.name].shape) == bounds_shape(site, granularity)
