"""Check of the injector: realised against nominal flips of every cell.

Under `bernoulli` the flips of n trials are one binomial draw of n·bits at p = BER. Its distance from n·bits·p in
standard deviations is approximately normal. Over N cells the largest distance exceeds z with probability at most 0.001
if 2·N·(1 - Φ(z)) = 0.001. Cells beyond z are marked. Cells of other fault models are not judged.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import pandas as pd

from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text

FALSE_ALARM = 0.001
"""Probability that any cell of a sound campaign is marked."""
_FEWEST = 20
"""Fewest expected flips for which the normal tail may judge a binomial."""


@dataclass(frozen=True)
class FlipRow:
    """Flips of one cell: nominal and realised per trial, and their distance in standard deviations.

    off is None if the cell is not judged; cell is the row of `Results.cells`.
    """

    names: tuple[str, ...]
    ber: str
    n_bits: int | None
    nominal: float
    realised: float
    off: float | None
    is_suspect: bool
    cell: Mapping[Any, Any]


def flip_rows(results: Results) -> list[FlipRow]:
    """Return a row per cell, in the order of the tables."""
    cells = results.cells.to_dict("records")
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / (2 * len(cells)))
    bernoulli = _bernoulli_labels(results)
    return [_row(cell, limit, is_judged=cell["fault"] in bernoulli) for cell in cells]


def _row(cell: Mapping[Any, Any], limit: float, *, is_judged: bool) -> FlipRow:
    n_bits = None if pd.isna(cell["n_bits"]) else int(cell["n_bits"])
    nominal = math.nan if n_bits is None else n_bits * cell["ber"]
    # Without a golden run nominal is NaN, which is not enough either.
    off = _off(cell, nominal) if is_judged and nominal * cell["trials"] >= _FEWEST else None
    suspect = off is not None and abs(off) > limit
    names = tuple(cell[label] for label in LABELS)
    return FlipRow(names, ber_text(cell["ber"]), n_bits, nominal, cell["flips_mean"], off, suspect, cell)


def _off(cell: Mapping[Any, Any], nominal: float) -> float:
    deviation = math.sqrt(nominal * (1 - cell["ber"]) / cell["trials"])
    return float(cell["flips_mean"] - nominal) / deviation


def _bernoulli_labels(results: Results) -> set[str]:
    return {
        entry.get("label") for entry in getattr(results.manifest.spec, "faults", ()) if entry["name"] == "bernoulli"
    }
