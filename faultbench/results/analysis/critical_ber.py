"""Critical BER: the bit error rate up to which a given fraction of a network's memories loses less than a given drop.

A trial number stands for one faulty memory; under `bernoulli` its flips at a BER are among those at the next one. So
each number has a critical BER of its own: the largest BER of the campaign such that at this and every lower BER the
accuracy is less than `drop` below the golden accuracy. The critical BER of a network is the largest that at least the
fraction `probability` of memories reach, the (1 - probability)-quantile of theirs. Its interval is that of
`stats.quantile_interval`, which holds for any distribution; the upper end is the next tried BER, at which it fails. 0
means below the lowest tried BER, infinity that no higher BER was tried.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faultbench.results import stats
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.analysis.cell_summary import curves, images_per_trial
from faultbench.results.folder import LABELS, ber_text

DROPS = (0.01, 0.05, 0.1)
"""Drops of the table: fractions of all images that may be lost."""

PROBABILITIES = (0.5, 0.9, 0.99)

SHOWN_DROP, SHOWN_PROBABILITY = 0.05, 0.9
"""Drop and probability that figures and the report show; printed tables have every drop at this probability."""

COLUMNS = (
    *LABELS, "drop", "probability", "trials", "critical_ber", "critical_ber_ci_low", "critical_ber_ci_high",
    "images_per_trial",
)  # fmt: skip


def critical_bers(results: CampaignTables) -> pd.DataFrame:
    """Return a row for each fault model of each protected network, drop and probability; its columns are `COLUMNS`.

    trials counts the numbers that are recorded at every BER. A network without such numbers, or without a golden run,
    has no rows. There are none if trials looked at samples of the images, which do not decide when a memory fails.
    """
    if results.trials.n_golden_correct.notna().any():
        return pd.DataFrame(columns=list(COLUMNS))
    golden = results.cells.groupby([*LABELS]).golden_accuracy.first().dropna().to_dict()
    confidence = results.manifest.rule.confidence_per_look
    rows, images = [], images_per_trial(results)
    for labels, accuracies in curves(results).groupby([*LABELS], sort=False):
        if labels not in golden:
            continue
        bers = [float(ber) for ber in accuracies.columns]
        lost = golden[labels] - accuracies.to_numpy()
        for drop in DROPS:
            n_held = _n_held(lost, drop)
            for probability in PROBABILITIES:
                critical = _critical(n_held, probability, bers, confidence)
                rows.append((*labels, drop, probability, len(accuracies), *critical, images[labels]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _n_held(lost: NDArray[np.float64], drop: float) -> NDArray[np.float64]:
    """Return for each trial how many BERs, from the lowest, it holds before it first fails."""
    # 0.98 - 0.93 is more than 0.05 by the last bit.
    return np.asarray(np.cumprod(np.round(lost, 12) < drop, axis=1).sum(axis=1), dtype=np.float64)


def _critical(
    n_held: NDArray[np.float64], probability: float, bers: list[float], confidence: float
) -> tuple[float, float, float]:
    """Return the critical BER and the ends of its interval."""
    shares = [(n_held >= level).mean() for level in range(1, len(bers) + 1)]
    level = sum(share >= probability - 1e-12 for share in shares)
    interval = stats.quantile_interval(n_held, 1 - probability, confidence=confidence)
    reached = [0.0, *bers]
    low = reached[int(max(interval.low, 0))]
    high = reached[int(interval.high) + 1] if interval.high < len(bers) else math.inf
    return reached[level], low, high


def critical_text(row: Mapping[Any, Any], lowest: float) -> tuple[str, str]:
    """Return the critical BER of a row and its interval, as printed; lowest is the lowest tried BER."""
    value, low, high = (row[f"critical_ber{end}"] for end in ("", "_ci_low", "_ci_high"))
    ends = f"[{ber_text(low) if low else '0'}, {'∞' if math.isinf(high) else ber_text(high)})"
    return ber_text(value) if value else f"< {ber_text(lowest)}", ends
