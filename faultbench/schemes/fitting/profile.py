"""Profiled bounds, where every scheme starts, and how far below them its own bounds end."""

import numpy as np
from torch import Tensor

from faultbench.schemes.bounded_activations import Bounds, Granularity, reduce_bounds
from faultbench.schemes.fitting.activation_recorder import profile_quantile
from faultbench.schemes.scheme import Fitting, Scheme, granularities


def profiled_bounds(
    fitting: Fitting, granularities: dict[str, Granularity], *, quantile: float = 1.0
) -> dict[str, Tensor]:
    """Site name → the largest activation of each layer, channel or neuron over seeded training images.

    A quantile below 1 takes that quantile of the activations instead, zeros among them.
    """
    if quantile < 1:
        images = fitting.profiled_images
        return profile_quantile(fitting.network, images, granularities, quantile, batch=fitting.batch)
    axes = {site.name: site.channel_axis for site in fitting.network.sites}
    maxima = fitting.maxima
    return {name: reduce_bounds(maxima[name], grain, axes[name]).clone() for name, grain in granularities.items()}


def bounds_to_maxima(fitting: Fitting, scheme: Scheme, bounds: Bounds) -> float | None:
    """Median over all bounds of a network, every bound counting once, of bound / profiled maximum of what it bounds.

    1 for a scheme that bounds at the profile, less for one that searches or trains its bounds below it. The maximum
    is that of the same layer, channel or neuron over the training images that the fitting profiled. A maximum of 0,
    of a neuron that never fired, says nothing of its bound and is left out. None where nothing is left, and where
    the median is not finite.
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
