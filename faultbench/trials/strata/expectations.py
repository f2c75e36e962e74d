"""Expectations for each stratum of a cell, from the probes of the pilot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.strata import Hazards, PointRow

Floats = NDArray[np.float64]

_SPREAD = 0.02
"""Least σ_j that is assumed, however similar the few probes were."""


@dataclass(frozen=True, eq=False)
class Expected:
    """Expectations for each stratum: fraction of images turned, fraction of DUEs, and variance between trials."""

    lost: Floats
    due: Floats
    variance: Floats

    @property
    def outcomes(self) -> dict[str, "Outcome"]:
        """Return what the printed means are of: images lost, which masked rates and accuracies follow, SDCs and DUEs.

        How SDCs and DUEs vary between trials is not known; they are taken to vary like the lost images, as a share of
        what is possible at their mean.
        """
        share = np.minimum(1, self.variance / np.maximum(self.lost * (1 - self.lost), 1e-12))
        rates = {"sdc": np.maximum(self.lost - self.due, 0.0), "due": self.due}
        spreads = {name: np.maximum(share * rate * (1 - rate), _SPREAD**2) for name, rate in rates.items()}
        others = {name: Outcome(rate, spreads[name]) for name, rate in rates.items()}
        return {"lost": Outcome(self.lost, self.variance), **others}


@dataclass(frozen=True, eq=False)
class Outcome:
    """Expected mean over the trials of each stratum of the fraction of images with an outcome, and its variance."""

    mean: Floats
    variance: Floats


def expected_outcomes(
    hazards: Hazards, ber: float, pmf: Floats, first: Sequence[int], n_images: int | None
) -> Expected:
    """Return the expectations at a BER.

    first has the least number of hazards of each stratum, pmf the probability of each number. n_images is the number
    per trial, None for all images.
    """
    lost, due, variance = _interpolate_points(hazards.points, len(pmf))
    other_lost, other_variance = _other_loss(hazards.points, (hazards.n_bits - hazards.n_hazards) * ber)
    lost, variance = 1 - (1 - lost) * (1 - other_lost), variance + other_variance
    if n_images is not None:
        variance = variance + lost * (1 - lost) / n_images
    means = [_mean(part, of) for of in (lost, due, variance + lost**2) for part in _stratum_slices(pmf, first)]
    of_lost, of_due, of_squares = np.split(np.array(means), 3)
    return Expected(of_lost, of_due, np.maximum(of_squares - of_lost**2, _SPREAD**2))


def _stratum_slices(pmf: Floats, first: Sequence[int]) -> list[tuple[slice, Floats]]:
    ends = [*first[1:], len(pmf)]
    return [(slice(low, high), pmf[low:high]) for low, high in zip(first, ends, strict=True)]


def _mean(part: tuple[slice, Floats], values: Floats) -> float:
    where, weights = part
    return float(values[where] @ weights / weights.sum())


def _interpolate_points(points: Sequence[PointRow], n: int) -> tuple[Floats, Floats, Floats]:
    """Return the expected losses, DUEs and variances for 0, 1, …, n - 1 hazards, interpolated between those probed."""
    probed = [(0, 0.0, 0.0, 0.0), *((row[0], *_moments(row)) for row in points if row[0])]
    number, lost, due, variance = (np.array(column) for column in zip(*probed, strict=True))
    at = np.arange(n)
    return (
        np.interp(at, number, np.maximum.accumulate(lost)),
        np.interp(at, number, np.minimum(due, lost)),
        np.interp(at, number, variance),
    )


def _other_loss(points: Sequence[PointRow], n_flips: float) -> tuple[float, float]:
    """Return the expected loss and its variance if n_flips other bits flip."""
    probed = [
        (0, 0.0, 0.0),
        *((row[1], moments[0], moments[2]) for row in points if row[1] for moments in [_moments(row)]),
    ]
    number, lost, variance = (np.array(column) for column in zip(*probed, strict=True))
    return float(np.interp(n_flips, number, lost)), float(np.interp(n_flips, number, variance))


def _moments(row: PointRow) -> tuple[float, float, float]:
    """Return the mean loss and DUEs of a point's probes, and the variance of the loss without that of few images."""
    _, _, n_probes, n_images, turned, squared, due = row
    n_runs = n_probes * n_images
    mean = turned / n_runs
    variance = squared / n_images**2 / n_probes - mean**2
    within = (mean - squared / n_images / n_runs) / max(n_images - 1, 1)
    return mean, due / n_runs, max(variance - within, 0.0)
