"""Profiled bounds, from which every scheme starts, and the ratio of a scheme's own bounds to them."""

import numpy as np
import torch
from torch import Tensor

from faultbench.schemes.bounded_activations import Bounds, Granularity, reduce_bounds
from faultbench.schemes.fitting.activation_recorder import profile_quantile
from faultbench.schemes.scheme import Fitting, Scheme, granularities
from faultbench.system.errors import FaultbenchError


def profiled_bounds(
    fitting: Fitting, granularities: dict[str, Granularity], *, quantile: float = 1.0
) -> dict[str, Tensor]:
    """Return the largest activation of each layer, channel or neuron over seeded training images, by site name.

    A quantile below 1 takes that quantile of the activations instead, zeros included. FaultbenchError, which begins
    with the fitting's title, if the network gives NaN or infinity for these images.
    """
    if quantile < 1:
        images = fitting.profiled_images
        quantiles = profile_quantile(fitting.network, images, granularities, quantile, batch=fitting.batch)
        return _checked_finite(quantiles, fitting.title)
    axes = {site.name: site.channel_axis for site in fitting.network.sites}
    maxima = fitting.maxima
    bounds = {name: reduce_bounds(maxima[name], grain, axes[name]).clone() for name, grain in granularities.items()}
    return _checked_finite(bounds, fitting.title)


def _checked_finite(bounds: dict[str, Tensor], title: str) -> dict[str, Tensor]:
    for name, tensor in bounds.items():
        if not bool(torch.isfinite(tensor).all()):
            raise FaultbenchError(
                f"{title}: site {name} gives NaN or infinity for images that bounds are fitted on; look for "
                "weights that are not finite or too large for float32"
            )
    return bounds


def bounds_to_maxima(fitting: Fitting, scheme: Scheme, bounds: Bounds) -> float | None:
    """Return the median of bound / profiled maximum over all bounds of a network, each counted once.

    It is 1 for a scheme that bounds at the profile, and less for one that searches or trains its bounds below it. The
    maximum is that of the same layer, channel or neuron over the training images that the fitting profiled. A maximum
    of 0, of a neuron that never fired, is left out. None if nothing is left, or if the median is not finite.
    """
    if not bounds:
        return None
    maxima = profiled_bounds(fitting, granularities(fitting.network, scheme))
    ratios = [_ratios(bounds[name], maximum) for name, maximum in maxima.items() if name in bounds]
    together = np.concatenate([np.empty(0), *ratios])
    median = float(np.median(together)) if len(together) else np.nan
    return median if np.isfinite(median) else None


def _ratios(bounds: Tensor, maxima: Tensor) -> np.ndarray:
    fired = maxima > 0
    return (bounds[fired].double() / maxima[fired].double()).numpy()
