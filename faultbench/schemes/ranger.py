"""Ranger, which limits activations to the profiled range."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity, Saturate
from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities


@scheme("ranger")
@dataclass(frozen=True)
class Ranger:
    """Saturate at the profiled maximum.

    Chen et al., DSN 2021 (arXiv 2003.13874); their released artefact saturates. The ProAct authors' toolbox probably
    uses `out_of_range: zero`.
    """

    granularity: Literal["layer", "channel", "neuron"] = "layer"
    out_of_range: Literal["saturate", "zero"] = "saturate"
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    nan_policy: Literal["zero", "propagate"] = "zero"

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:
        """Return the option's granularity, the same at every site."""
        return self.granularity

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return an activation that limits x to 0..bound, or gives 0 outside."""
        activation = Saturate if self.out_of_range == "saturate" else ClipToZero
        return activation(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Return the profiled maxima, or quantiles, as bounds."""
        return Fitted(profiled_bounds(fitting, granularities(fitting.network, self), quantile=self.quantile))

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return the effort of the profile."""
        return FittingEffort(n_run=extent.n_profiled)
