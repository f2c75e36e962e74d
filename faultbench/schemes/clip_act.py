"""Clip-Act, which sets activations above the profiled maximum to zero."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity
from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities


@scheme("clip_act")
@dataclass(frozen=True)
class ClipAct:
    """Clip to zero above the profiled maximum.

    These are the first two steps of FT-ClipAct (Hoang et al., DATE 2020, arXiv 1912.00941). By this name FitAct's
    abstract most likely means FT-ClipAct as a whole; here they are two schemes. The finer granularities give the bounds
    of other schemes untrained: neuron those of FitAct, hybrid (neuron at the last site, layer elsewhere) those of
    ProAct.
    """

    granularity: Literal["layer", "channel", "neuron", "hybrid"] = "layer"
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    nan_policy: Literal["zero", "propagate"] = "zero"

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:
        """Return the option's granularity; hybrid is neuron at the last activation before the classifier."""
        if self.granularity == "hybrid":
            return "neuron" if is_last else "layer"
        return self.granularity

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return an activation that gives x within 0..bound, and 0 elsewhere."""
        return ClipToZero(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Return the profiled maxima, or quantiles, as bounds."""
        return Fitted(profiled_bounds(fitting, granularities(fitting.network, self), quantile=self.quantile))

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return the effort of the profile."""
        return FittingEffort(n_run=extent.n_profiled)
