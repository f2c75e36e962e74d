"""Numbers and sentences that captions and tables share."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.analysis.harm import CONFIDENCE_IF_NOT, FALSE_DISCOVERIES, SMALL_LOSS

UNTRIED = "Measured without faults: no trial, one batch of images."
"""Sentence of captions on how overheads are measured."""

BEST_NOTE = "Bold: the highest mean of a column; differences are not tested."
"""Sentence of captions of tables in which the best mean is bold."""


def shared_count(counts: Iterable[float]) -> str:
    """Return counts as a caption has them: "100", "60 to 100" if they differ, "no" if there are none or all are 0."""
    known = pd.Series(counts).dropna()
    if known.empty or known.max() == 0:
        return "no"
    low, high = int(known.min()), int(known.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def trials_text(cells: pd.DataFrame) -> str:
    """Return how many trials and images stand behind cells, for a caption."""
    return f"{shared_count(cells.trials)} trials per cell, {images_text(cells)} images per trial"


def images_text(cells: pd.DataFrame) -> str:
    """Return the number of images per trial, for a caption: "10,000", or "16 to 64 of 10,000" for samples."""
    looked, of = (shared_count(cells[name].round()) for name in ("images_per_trial", "images"))
    return looked if looked in (of, "no") else f"{looked} of {of}"


def overhead_text(percent: float) -> str:
    """Return a memory overhead with three significant digits and without an exponent: 0.0000883."""
    return np.format_float_positional(percent, precision=3, fractional=False, trim="-")


def ratio_texts(row: Mapping[Any, Any]) -> tuple[str, str, str] | None:
    """Return the latency ratio of a row of overheads and its interval, rounded outwards; None if not measured."""
    if math.isnan(row["latency_ratio"]):
        return None
    low = math.floor(100 * row["latency_ratio_ci_low"]) / 100
    high = math.ceil(100 * row["latency_ratio_ci_high"]) / 100
    return f"{row['latency_ratio']:.2f}", f"{low:.2f}", f"{high:.2f}"


def hollow_note(rule: StoppingRule) -> str:
    """Return the sentence of a caption on hollow markers, after a blank."""
    return f" Hollow: fewer trials than {rule.target_text}."


def map_key(told: str, small: str) -> str:
    """Return what the colours of a map of harm mean, without a full stop; told and small are words for two looks."""
    return (
        f"{told.capitalize()} where the flip is told to do harm, by what it cost at least; of the "
        f"{told} cells of a network at most {100 * FALSE_DISCOVERIES:g}% are expected to be harmless. "
        f"{small.capitalize()} "
        f"where a loss above {100 * SMALL_LOSS:g}% of the accuracy without the flip is excluded, at "
        f"{100 * CONFIDENCE_IF_NOT:g}% for each cell"
    )


def left_out_text(n_left_out: int) -> str:
    """Return the sentence of a caption on rows that are left out, after a blank; empty if there are none."""
    rows = "row" if n_left_out == 1 else "rows"
    return f" Left out: {n_left_out} {rows} in which no trial tells." if n_left_out else ""
