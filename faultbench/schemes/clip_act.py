"""Clip-Act: zero what lies above the profiled maximum."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity
from faultbench.schemes.fitting.effort import Effort, Extent
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities


@scheme("clip_act")
@dataclass(frozen=True)
class ClipAct:
    """Clip to zero above the profiled maximum.

    The first two steps of FT-ClipAct (Hoang et al., DATE 2020, arXiv 1912.00941). FitAct's abstract most likely
    means the whole of FT-ClipAct by this name; keeping both apart is our reading.
    """

    granularity: Literal["layer", "channel", "neuron"] = "layer"
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    nan_policy: Literal["zero", "propagate"] = "zero"

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:  # noqa: ARG002 - the protocol's
        """As the option says, the same at every site."""
        return self.granularity

    def activation(self, bounds: Tensor) -> nn.Module:
        """x within 0..bound, else 0."""
        return ClipToZero(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """The profiled maxima, or quantiles, are the bounds."""
        return Fitted(profiled_bounds(fitting, granularities(fitting.network, self), quantile=self.quantile))

    def effort(self, extent: Extent) -> Effort:
        """The profile."""
        return Effort(n_run=extent.n_profiled)
