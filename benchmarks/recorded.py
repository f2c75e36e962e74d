"""Recorded trials as distributions of accuracy, for benchmarks of statistics."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultbench.results.analysis.results import read_results

Trials = NDArray[np.float64]


def distributions_of(outcomes: Path, results: list[Path]) -> dict[str, Trials]:
    """Name → the accuracy of each recorded trial.

    outcomes is an .npz of bool arrays [trials, images], "classified right", by name; names of golden runs and flip
    counts end in `|gold` and `|H`. results are results folders of faultbench, a distribution a cell.
    """
    with np.load(outcomes) as arrays:
        names = [name for name in arrays.files if not name.endswith(("|gold", "|H"))]
        found = {name: arrays[name].mean(axis=1) for name in names}
    for folder in results:
        trials = read_results(folder).trials
        for (campaign, scheme, ber), cell in trials.groupby(["campaign", "scheme", "ber"]):
            found[f"{campaign}|{scheme}|{ber:g}"] = (cell.n_correct / cell.n_images).to_numpy()
    return found


def critical_rates_of(outcomes: Path, results: list[Path]) -> dict[str, Trials]:
    """Name → of each recorded trial the fraction of images that are right in the golden run and wrong here.

    Non-finite logits count as wrong in outcomes; in results critical SDCs alone are counted.
    """
    with np.load(outcomes) as arrays:
        names = [name for name in arrays.files if not name.endswith(("|gold", "|H"))]
        golden = {name: arrays[f"{name.rpartition('|')[0]}|gold"] for name in names}
        found = {name: (golden[name] & ~arrays[name]).mean(axis=1) for name in names}
    for folder in results:
        trials = read_results(folder).trials
        for (campaign, scheme, ber), cell in trials.groupby(["campaign", "scheme", "ber"]):
            found[f"{campaign}|{scheme}|{ber:g}"] = (cell.n_sdc_critical / cell.n_images).to_numpy()
    return found
