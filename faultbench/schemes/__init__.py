"""Activation schemes, one file each, and what a scheme of your own is made of."""

from typing import TYPE_CHECKING

from faultbench.system.lazy_imports import lazy_names

if TYPE_CHECKING:
    from faultbench.networks.network import Network, Site
    from faultbench.schemes.bounded_activations import (
        BoundedActivation,
        Bounds,
        ClipToZero,
        Granularity,
        NanPolicy,
        Saturate,
        Smooth,
        bounds_shape,
    )
    from faultbench.schemes.clip_act import ClipAct
    from faultbench.schemes.fitact import FitAct
    from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent, ForeseeableScheme
    from faultbench.schemes.fitting.profile import profiled_bounds
    from faultbench.schemes.ft_clipact import FtClipAct
    from faultbench.schemes.hyrelu_proact import HyreluProact
    from faultbench.schemes.ranger import Ranger
    from faultbench.schemes.relu import Relu
    from faultbench.schemes.scheme import Fitted, Fitting, Scheme, granularities
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "faultbench.networks.network": ["Network", "Site"],
            "faultbench.schemes.bounded_activations": [
                "BoundedActivation",
                "Bounds",
                "ClipToZero",
                "Granularity",
                "NanPolicy",
                "Saturate",
                "Smooth",
                "bounds_shape",
            ],
            "faultbench.schemes.clip_act": ["ClipAct"],
            "faultbench.schemes.fitact": ["FitAct"],
            "faultbench.schemes.fitting.effort": ["FittingEffort", "FittingExtent", "ForeseeableScheme"],
            "faultbench.schemes.fitting.profile": ["profiled_bounds"],
            "faultbench.schemes.ft_clipact": ["FtClipAct"],
            "faultbench.schemes.hyrelu_proact": ["HyreluProact"],
            "faultbench.schemes.ranger": ["Ranger"],
            "faultbench.schemes.relu": ["Relu"],
            "faultbench.schemes.scheme": ["Fitted", "Fitting", "Scheme", "granularities"],
        },
    )

__all__ = [
    "BoundedActivation",
    "Bounds",
    "ClipAct",
    "ClipToZero",
    "FitAct",
    "Fitted",
    "Fitting",
    "FittingEffort",
    "FittingExtent",
    "ForeseeableScheme",
    "FtClipAct",
    "Granularity",
    "HyreluProact",
    "NanPolicy",
    "Network",
    "Ranger",
    "Relu",
    "Saturate",
    "Scheme",
    "Site",
    "Smooth",
    "bounds_shape",
    "granularities",
    "profiled_bounds",
]
