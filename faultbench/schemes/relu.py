"""The unprotected network."""

from dataclasses import dataclass

from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.fitting.effort import Effort, Extent
from faultbench.schemes.scheme import Fitted, Fitting


@scheme("relu")
@dataclass(frozen=True)
class Relu:
    """No protection: every activation as the network has it."""

    def granularity_at(self, site: Site, *, is_last: bool) -> None:
        """No bounds."""

    def activation(self, bounds: Tensor) -> nn.Module:  # noqa: ARG002 - the protocol's
        """ReLU."""
        return nn.ReLU()

    def fit(self, fitting: Fitting) -> Fitted:  # noqa: ARG002 - the protocol's
        """Nothing to fit."""
        return Fitted()

    def effort(self, extent: Extent) -> Effort:  # noqa: ARG002 - the protocol's
        """None."""
        return Effort()
