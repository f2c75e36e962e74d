"""Tables of a stratified campaign: the harm of each kind of bit, as pilots measured it, and the strata of each cell.

Both are empty for a campaign of plain trials. `harm` is the mean share of the probed images that a flip of the kind
turns. `failing` counts the flips that turned any image, out of `flips`, with the interval of Clopper and Pearson. Flips
that were probed together and turned no image count as that many harmless flips.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from faultbench.results import stats
from faultbench.results.analysis.campaign_tables import CampaignTables
from faultbench.results.analysis.flip_rows import DIRECTIONS, FLIP
from faultbench.results.folder import LABELS, CellEntry
from faultbench.results.journal.strata import ROW, Hazards, Strata

HAZARD_COLUMNS = (
    *LABELS, *FLIP, "bits", "flips", "failing", "failing_rate", "failing_rate_ci_low", "failing_rate_ci_high",
    "images", "harm", "hazardous", "confidence",
)  # fmt: skip
STRATA_COLUMNS = (
    *LABELS, "ber", "stratum", "hazards_fewest", "hazards_most", "probability", "drawn", "weight", "trials",
    "accuracy_expected", "accuracy_mean", "gain", "variance_gain",
)  # fmt: skip


def hazards(results: CampaignTables) -> pd.DataFrame:
    """Return a row for each kind of bit of each protected network; its columns are `HAZARD_COLUMNS`."""
    subjects = {entry.subject: entry for entry in reversed(results.manifest.cells)}
    frames = [
        _subject_rows(pilot, entry, results.manifest.rule.confidence)
        for entry in sorted(subjects.values(), key=lambda entry: entry.labels)
        if (pilot := results.hazards_of.get(entry.subject))
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(HAZARD_COLUMNS))


def strata(results: CampaignTables) -> pd.DataFrame:
    """Return a row for each stratum of each cell, and one without a stratum per cell of plain trials.

    Its columns are `STRATA_COLUMNS`.
    """
    rows = [
        row
        for entry in results.manifest.sorted_cells
        if (design := results.strata_of.get(entry.cell))
        for row in _strata_rows(results, entry, design)
    ]
    return pd.DataFrame(rows, columns=list(STRATA_COLUMNS)).astype({"stratum": "Int64"} if rows else {})


def _subject_rows(pilot: Hazards, entry: CellEntry, confidence: float) -> pd.DataFrame:
    column = dict(zip(ROW, np.array(pilot.rows, dtype=np.int64).reshape(-1, len(ROW)).T, strict=True))
    layers, kinds = np.array(pilot.owners, dtype=object).reshape(-1, 2).T
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
        "hazardous": 100 * column["n_turned"] >= pilot.threshold_pct * column["n_images"],
        "confidence": confidence,
    }
    return pd.DataFrame(columns)[list(HAZARD_COLUMNS)]


def _strata_rows(results: CampaignTables, entry: CellEntry, design: Strata) -> Iterator[dict[str, Any]]:
    trials = results.trials[results.trials.cell == entry.cell]
    named = {**dict(zip(LABELS, entry.labels, strict=True)), "ber": entry.ber}
    gains = {"gain": design.gain, "variance_gain": design.variance_gain}
    if not design.is_split:
        yield {**named, **gains, "trials": len(trials)}
    golden = results.cells.set_index([*LABELS, "ber"]).golden_accuracy.to_dict()[(*entry.labels, entry.ber)]
    for stratum, (share, weight) in enumerate(zip(design.share, design.weights, strict=True)):
        accuracies = trials[trials.stratum == stratum].accuracy
        fewest, most = design.ends(stratum)
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
            "accuracy_expected": golden * (1 - design.lost[stratum]),
            "accuracy_mean": stats.mean(accuracies.to_numpy()) if len(accuracies) else None,
        }
