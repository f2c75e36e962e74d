"""What a campaign's pilots found, and how its trials were shared out among strata, as tables.

Both are empty where trials were plain ones. `harm` is the share of the probed images that a flip of the kind turned, in
the mean; `failing` counts the flips that turned any, out of `flips`, with the interval of Clopper and Pearson: flips
that were probed together and turned no image count as that many harmless ones.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from faultbench.results import stats
from faultbench.results.analysis.cell_summary import Measured
from faultbench.results.analysis.flip_harm import DIRECTIONS, FLIP
from faultbench.results.folder import LABELS, CellEntry
from faultbench.results.journal.strata import ROW, Hazards, Strata

HAZARD = (
    *LABELS, *FLIP, "bits", "flips", "failing", "failing_rate", "failing_rate_ci_low", "failing_rate_ci_high",
    "images", "harm", "hazardous", "confidence",
)  # fmt: skip
STRATA = (
    *LABELS, "ber", "stratum", "hazards_fewest", "hazards_most", "probability", "drawn", "weight", "trials",
    "accuracy_expected", "accuracy_mean", "gain", "variance_gain",
)  # fmt: skip


class Stratified(Measured, Protocol):
    """What is read here besides; `tables.Results` is one."""

    @property
    def hazards_of(self) -> Mapping[str, Hazards]:
        """By subject."""

    @property
    def strata_of(self) -> Mapping[str, Strata]:
        """By cell."""


def hazards(results: Stratified) -> pd.DataFrame:
    """A row for each kind of bit of each protected network; its columns are `HAZARD`."""
    subjects = {entry.subject: entry for entry in reversed(results.manifest.cells)}
    frames = [
        _of_subject(found, entry, results.manifest.rule.confidence)
        for entry in sorted(subjects.values(), key=lambda entry: entry.labels)
        if (found := results.hazards_of.get(entry.subject))
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(HAZARD))


def strata(results: Stratified) -> pd.DataFrame:
    """A row for each stratum of each cell, and one without a stratum where trials are plain; columns are `STRATA`."""
    entries = sorted(results.manifest.cells, key=lambda entry: (entry.labels, entry.ber, entry.cell))
    rows = [
        row for entry in entries if (found := results.strata_of.get(entry.cell)) for row in _rows(results, entry, found)
    ]
    return pd.DataFrame(rows, columns=list(STRATA)).astype({"stratum": "Int64"} if rows else {})


def _of_subject(found: Hazards, entry: CellEntry, confidence: float) -> pd.DataFrame:
    column = dict(zip(ROW, np.array(found.rows, dtype=np.int64).reshape(-1, len(ROW)).T, strict=True))
    layers, kinds = np.array(found.owners, dtype=object).reshape(-1, 2).T
    low, high = stats.rate_intervals(column["n_failing"], column["n_flips"], confidence=confidence)
    columns = {
        **dict(zip(LABELS, entry.labels, strict=True)),
        "layer": layers[column["owner"]],
        "kind": kinds[column["owner"]],
        "bit": column["bit"],
        "direction": np.array(DIRECTIONS, dtype=object)[column["held"]],
        "bits": column["n_bits"],
        "flips": column["n_flips"],
        "failing": column["n_failing"],
        "failing_rate": column["n_failing"] / column["n_flips"],
        "failing_rate_ci_low": low,
        "failing_rate_ci_high": high,
        "images": column["n_images"],
        "harm": column["n_turned"] / column["n_images"],
        "hazardous": 100 * column["n_turned"] >= found.threshold_pct * column["n_images"],
        "confidence": confidence,
    }
    return pd.DataFrame(columns)[list(HAZARD)]


def _rows(results: Stratified, entry: CellEntry, found: Strata) -> Iterator[dict[str, Any]]:
    own = results.trials[results.trials.cell == entry.cell]
    named = {**dict(zip(LABELS, entry.labels, strict=True)), "ber": entry.ber}
    gains = {"gain": found.gain, "variance_gain": found.variance_gain}
    if not found.is_split:
        yield {**named, **gains, "trials": len(own)}
    golden = results.cells.set_index([*LABELS, "ber"]).golden_accuracy.to_dict()[(*entry.labels, entry.ber)]
    for stratum, (share, weight) in enumerate(zip(found.share, found.weights, strict=True)):
        accuracies = own[own.stratum == stratum].accuracy
        fewest, most = found.ends(stratum)
        yield {
            **named,
            **gains,
            "stratum": stratum,
            "hazards_fewest": fewest,
            "hazards_most": most,
            "probability": share,
            "drawn": share / weight,
            "weight": weight,
            "trials": len(accuracies),
            "accuracy_expected": golden * (1 - found.lost[stratum]),
            "accuracy_mean": stats.mean(accuracies.to_numpy()) if len(accuracies) else None,
        }
