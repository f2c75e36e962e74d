"""Checks of fitted bounds: they must be finite, of the right shape, and at sites that the network has."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from faultbench.datasets.image_checks import describe_value
from faultbench.networks.agreement.sample_images import N_COMPARED
from faultbench.networks.network import Network
from faultbench.plugins.modules import as_user_error
from faultbench.schemes.bounded_activations import bounds_shape
from faultbench.schemes.fitting.neutrality import require_neutral
from faultbench.schemes.scheme import Fitted, Fitting, Scheme, granularities
from faultbench.system.errors import FaultbenchError


def fit_and_check(scheme: Scheme, fitting: Fitting, file: Path | None = None) -> Fitted:
    """Fit a scheme and return its bounds, checked. file is a plug-in's source, named in errors that it raises.

    FaultbenchError, which begins with the fitting's title, for bounds that are not finite, not float32, negative
    without training, or of another shape or at another site than the scheme states.
    """
    with nullcontext() if file is None else as_user_error(fitting.title, file):
        require_neutral(fitting.network, scheme, fitting.train.first(N_COMPARED).pixels, fitting.title)
        fitted = scheme.fit(fitting)
    if not isinstance(fitted, Fitted) or not isinstance(fitted.bounds, Mapping):
        raise FaultbenchError(
            f"{fitting.title}: fit must give a faultbench.schemes.scheme.Fitted; given {describe_value(fitted)}"
        )
    require_sound_bounds(fitted, fitting.network, scheme, fitting.title)
    return fitted


def require_sound_bounds(fitted: Fitted, network: Network, scheme: Scheme, title: str) -> None:
    """Raise FaultbenchError for bounds that are missing, not finite, or at odds with the scheme's granularities."""
    grains = granularities(network, scheme)
    if odd := sorted(map(str, fitted.bounds.keys() ^ grains.keys())):
        held = "has no bounds" if odd[0] in grains else "has bounds, but granularity_at gives none there"
        raise FaultbenchError(f"{title}: site {odd[0]} {held}; fit and granularity_at must agree")
    for site in network.sites:
        if site.name in grains:
            wanted = bounds_shape(site, grains[site.name])
            if problem := _problem(fitted.bounds[site.name], wanted, is_trained=fitted.n_epochs > 0):
                raise FaultbenchError(f"{title}: bounds of site {site.name}: {problem}")


def _problem(bounds: object, shape: tuple[int, ...], *, is_trained: bool) -> str:
    if not isinstance(bounds, Tensor) or bounds.dtype is not torch.float32 or tuple(bounds.shape) != shape:
        return f"must be a float32 tensor {list(shape)}; given {describe_value(bounds)}"
    n_not_finite = int((~torch.isfinite(bounds)).sum())
    if n_not_finite:
        return (
            f"{n_not_finite:,} of {bounds.numel():,} are NaN or infinite; look for values that are not finite in the "
            "weights, and in what the network gives for the images that bounds are fitted on"
        )
    # An optimiser's last step may leave a bound slightly below 0.
    if not is_trained and bool((bounds < 0).any()):
        return f"must be at least 0; given {float(bounds.min()):g}"
    return ""
