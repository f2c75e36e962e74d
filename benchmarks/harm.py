"""Whether the map of harm tells the truth: inject only flips of the kinds that it shows, and only those of the others.

    python benchmarks/harm.py [CAMPAIGN…] [--maps 300] [-s key=value …] [--data-dir DIR] [--output FOLDER]

Runs each campaign, or one of digits and one of LeNet-5 on CIFAR-10, and takes its maps. Then new fault maps are drawn
at the highest BER, numbers apart from those of trials, and each is injected four times: whole; its flips of kinds told
to be harmful alone; those of kinds for which a large loss is excluded alone; and the others alone, which the trials do
not decide. Writes harm_injected.csv, a row per protected network.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench import DOCS, machine, write_csv
from numpy.typing import NDArray

from faultbench.campaign import Subject, load_campaign
from faultbench.memory.fault_map import FaultMap
from faultbench.results import stats
from faultbench.results.analysis.flip_rows import DIRECTIONS
from faultbench.results.analysis.harm import is_small
from faultbench.results.analysis.harm_map import rows_with
from faultbench.results.analysis.results import Results, read_results
from faultbench.results.folder import LABELS
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import build_components
from faultbench.system.progress.reporter import SilentReporter
from faultbench.system.threads import threads
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.strata.bit_kinds import KEYS_PER_OWNER, BitKinds

CAMPAIGNS = {
    "digits": "datasets: [digits]\nmodels: [digits_cnn]\nbers: [3e-7, 1e-6, 3e-6, 1e-5]\ntraining: {schedule: fast}\n",
    "lenet5": "datasets: [cifar10]\nmodels: [lenet5]\nbers: [1e-6, 3e-6, 1e-5]\nimages: {per_trial: 100}\n"
    "training: {schedule: fast, epochs: 8, batch: 128, learning_rate: 0.05}\n",
}
"""Campaigns that run if none is given, with `SHARED`."""

SHARED = "seed: 2024\nschemes: [relu, clip_act]\ntrials: 1000\n"

FIRST = 1_000_000
"""Number of the first fault map: no campaign here has as many trials."""


def rows(path: Path, overrides: Sequence[str], root: Path, n_maps: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each protected network of a campaign."""
    campaign = load_campaign(path, overrides)
    folder = run_campaign(campaign, root, engine=Serial(1), reporter=SilentReporter())
    results, builder = read_results(folder), SubjectBuilder(ArtifactStore(folder / "artifacts"), SilentReporter())
    for subject in campaign.subjects:
        harm = _own_rows(results, subject)
        ber = float(results.cells.ber.max())
        with threads(1):
            evaluation = builder.evaluation(subject, [ber])
            kinds = BitKinds(evaluation.network, evaluation.space)
            told = _keys(kinds, harm[harm.harmful])
            small = _keys(
                kinds, harm[~harm.harmful & is_small(harm.lost_at_most.to_numpy(), harm.accuracy_without.to_numpy())]
            )
            accuracies = _accuracies(evaluation, _fault_maps(evaluation, kinds, subject, ber, (told, small), n_maps))
        yield {
            "model": subject.model.label,
            "scheme": subject.scheme.label,
            "ber": f"{ber:g}",
            "kinds": len(harm),
            "told": len(told),
            "small": len(small),
            "golden": evaluation.golden.n_correct / evaluation.n_images,
            **_means(accuracies),
        }


def _own_rows(results: Results, subject: Subject) -> pd.DataFrame:
    """Return the harms of the layers of a subject."""
    entry = next(entry for entry in results.manifest.cells if entry.subject == subject.key)
    rows = rows_with(results.harm, dict(zip(LABELS, entry.labels, strict=True)))
    return rows[rows.layer != "*"]


def _keys(kinds: BitKinds, rows: pd.DataFrame) -> NDArray[np.int64]:
    owner = [kinds.owners.index(pair) for pair in zip(rows.layer, rows.kind, strict=True)]
    direction = [DIRECTIONS.index(text) for text in rows.direction]
    return np.array(owner, dtype=np.int64) * KEYS_PER_OWNER + 2 * rows.bit.to_numpy() + np.array(direction, dtype=int)


def _fault_maps(
    evaluation: Evaluation,
    kinds: BitKinds,
    subject: Subject,
    ber: float,
    sets: tuple[NDArray[np.int64], NDArray[np.int64]],
    n_maps: int,
) -> Iterator[list[FaultMap]]:
    """Yield fault maps: whole, with the flips of each of two sets of kinds alone, and with the others alone."""
    fault = build_components(subject).fault
    for number in range(FIRST, FIRST + n_maps):
        addresses = fault.draw(evaluation.space, ber=ber, seed=subject.seed, trial=number).addresses
        keys = kinds.own_keys(addresses)
        is_told, is_small = (np.isin(keys, chosen) for chosen in sets)
        yield [FaultMap(addresses), *(FaultMap(addresses[part]) for part in (is_told, is_small, ~is_told & ~is_small))]


def _accuracies(evaluation: Evaluation, fault_maps: Iterator[list[FaultMap]]) -> NDArray[np.float64]:
    right = [[evaluation.outcome(each).n_correct for each in parts] for parts in fault_maps]
    return np.array(right) / evaluation.n_images


def _means(accuracies: NDArray[np.float64]) -> dict[str, float]:
    columns: dict[str, float] = {}
    for name, values in zip(("all", "told", "small", "undecided"), accuracies.T, strict=True):
        interval = stats.mean_interval(values)
        columns |= {f"{name}_flips": stats.mean(values), f"{name}_low": interval.low, f"{name}_high": interval.high}
    return columns


def write_campaigns(folder: Path) -> list[Path]:
    """Write the campaigns that run if none is given, and return their files."""
    for name, text in CAMPAIGNS.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{SHARED}{text}")
    return [folder / f"{name}.yaml" for name in CAMPAIGNS]


def main() -> None:
    """Print a line per protected network, and write the table."""
    parser = argparse.ArgumentParser(description="Flips that the map of harm shows against the others.")
    parser.add_argument("campaigns", type=Path, nargs="*")
    parser.add_argument("--maps", type=int, default=300, help="fault maps per network (default 300)")
    parser.add_argument("-s", "--set", action="append", default=[], help="key=value, overrides a key of the campaigns")
    parser.add_argument("--data-dir", type=Path, help="where data sets are")
    parser.add_argument("--output", type=Path, default=DOCS)
    given = parser.parse_args()
    if given.data_dir:
        os.environ["FAULTBENCH_DATA"] = str(given.data_dir.resolve())
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path in given.campaigns or write_campaigns(Path(folder)):
            for row in rows(path, given.set, Path(folder), given.maps):
                print({key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()}, flush=True)
                found.append(row)
    write_csv(given.output / "harm_injected.csv", found, f"{machine()}; {given.maps} fault maps per network")


if __name__ == "__main__":
    main()
