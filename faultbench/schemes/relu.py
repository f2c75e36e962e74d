"""The unprotected network."""

from dataclasses import dataclass

from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent
from faultbench.schemes.scheme import Fitted, Fitting


@scheme("relu")
@dataclass(frozen=True)
class Relu:
    """Unprotected network: every activation stays as it is."""

    def granularity_at(self, site: Site, *, is_last: bool) -> None:
        """Return None: no site has bounds."""

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return a ReLU."""
        return nn.ReLU()

    def fit(self, fitting: Fitting) -> Fitted:
        """Return no bounds."""
        return Fitted()

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return no effort."""
        return FittingEffort()
