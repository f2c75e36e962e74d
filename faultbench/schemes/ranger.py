"""Ranger: hold activations within the profiled range."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from faultbench.networks.network import Site
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity, Saturate
from faultbench.schemes.fitting.effort import Effort, Extent
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities


@scheme("ranger")
@dataclass(frozen=True)
class Ranger:
    """Saturate at the profiled maximum.

    Chen et al., DSN 2021 (arXiv 2003.13874); their released artefact saturates. `out_of_range: zero` is how the
    ProAct authors' toolbox probably runs it.
    """

    granularity: Literal["layer", "channel", "neuron"] = "layer"
    out_of_range: Literal["saturate", "zero"] = "saturate"
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    nan_policy: Literal["zero", "propagate"] = "zero"

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:  # noqa: ARG002 - the protocol's
        """As the option says, the same at every site."""
        return self.granularity

    def activation(self, bounds: Tensor) -> nn.Module:
        """x held within 0..bound, or zeroed outside."""
        activation = Saturate if self.out_of_range == "saturate" else ClipToZero
        return activation(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """The profiled maxima, or quantiles, are the bounds."""
        return Fitted(profiled_bounds(fitting, granularities(fitting.network, self), quantile=self.quantile))

    def effort(self, extent: Extent) -> Effort:
        """The profile."""
        return Effort(n_run=extent.n_profiled)
