"""What `sampling: stratified` saves: trials in strata of how many hazards flip against plain ones, cell by cell.

    python benchmarks/strata.py CAMPAIGN [--trials 300] [-s key=value …] [--output FOLDER]

The rates of the campaign are replaced by those at which 0.1, 1, 3 and 10 flips a trial are expected. Networks are
trained and fitted first, which counts for neither; the pilot counts for the strata, a quarter for each rate. Writes
strata.csv, a row a cell: variance of what a trial says, half-width of the interval after so many trials, and how many
times as many images plain trials run for the same variance. The variance of plain trials is estimated from those in
strata where there are such, weighted: 300 plain ones often hold no disaster, and show none. Where strata do not pay
trials are plain, without ratios.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import DOCS, machine, write_csv

from faultbench.campaign import Cell, load_campaign
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.estimates import accuracies
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import build_components
from faultbench.system.progress.reporter import SilentReporter
from faultbench.system.threads import threads
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.strata.bit_kinds import BitKinds
from faultbench.trials.strata.design import design_strata
from faultbench.trials.strata.hazard_pilot import probe_hazards
from faultbench.trials.strata.stratified_faults import StratifiedFaultModel
from faultbench.trials.trial import TrialJob, golden_record, run_job, with_stratum

MEMORY_BYTES = 1 << 30
EXPECTED_FLIPS = (0.1, 1, 3, 10)


def rows(path: Path, overrides: Sequence[str], artifacts: Path, n_trials: int) -> Iterator[dict[str, Any]]:
    """A row for each protected network and expected number of flips."""
    bench = SubjectBuilder(ArtifactStore(artifacts), SilentReporter(), memory_bytes=MEMORY_BYTES)
    for subject in load_campaign(path, overrides).subjects:
        n_bits = build_components(subject).n_bits
        bers = {flips: flips / n_bits for flips in EXPECTED_FLIPS}
        bench.fit(subject)
        with threads(1):
            evaluation = bench.evaluation(subject, list(bers.values()))
            memory, plain = BitKinds(evaluation.network, evaluation.space), build_components(subject).fault
            hazards = probe_hazards(evaluation, memory, subject.key, subject.seed)
            for flips, ber in bers.items():
                cell = Cell(subject, ber)
                strata = design_strata(cell.key, hazards, ber, None, n_trials)
                drawing = StratifiedFaultModel.of_memory(memory, hazards, {ber: strata}, plain)
                two = [run(evaluation, cell, plain, n_trials)]
                if strata.is_split:
                    two.append(run(evaluation, cell, drawing, n_trials))
                golden = golden_record(subject, evaluation)
                yield {
                    "format": subject.format.label,
                    "scheme": subject.scheme.label,
                    "expected_flips": f"{flips:g}",
                    "hazards_pct": 100 * hazards.n_hazards / hazards.n_bits,
                    "pilot_images": hazards.n_image_runs,
                    "trial_images": evaluation.n_images,
                    **compared(two, golden, strata, hazards.n_image_runs / len(bers) / evaluation.n_images),
                }


def run(evaluation: Evaluation, cell: Cell, drawing: Any, n_trials: int) -> list[Trial]:
    """So many trials."""
    jobs, seed = [TrialJob(cell.key, cell.ber, number) for number in range(n_trials)], cell.subject.seed
    return [with_stratum(run_job(evaluation, drawing, seed, job), drawing, seed, job) for job in jobs]


def compared(two: list[list[Trial]], golden: Golden, strata: Strata, pilot_trials: float) -> dict[str, Any]:
    """Plain trials and those in strata, if any; pilot_trials is what the pilot costs the cell, in trials."""
    columns: dict[str, Any] = {}
    for name in ("accuracy", "variance", "half_width"):
        columns |= {f"{name}_plain": "", f"{name}_strata": ""}
    n_trials, rule = len(two[0]), StoppingRule(len(two[0]))
    for name, trials, drawn in zip(("plain", "strata"), two, (None, strata), strict=False):
        found = accuracies(trials, golden, drawn)
        variance = float(np.var(found.unscaled, ddof=1))
        columns |= {f"accuracy_{name}": found.mean, f"variance_{name}": variance}
        columns[f"half_width_{name}"] = found.interval(rule).half_width
    if len(two) == 1:
        return {**columns, "variance_ratio": "", "work_ratio": "", "width_ratio": ""}
    columns["variance_plain"] = plain_variance(two[1], golden, strata)
    ratio = columns["variance_plain"] / columns["variance_strata"]
    return {
        **columns,
        "variance_ratio": ratio,
        "work_ratio": ratio * n_trials / (n_trials + pilot_trials),
        "width_ratio": columns["half_width_plain"] / columns["half_width_strata"],
    }


def plain_variance(trials: list[Trial], golden: Golden, strata: Strata) -> float:
    """That of plain trials, as those in strata tell it: each counts by its weight, and a memory without a flip too."""
    right = golden.n_correct / golden.n_images
    squares = [strata.weights[t.stratum or 0] * (t.n_correct / t.n_images - right) ** 2 for t in trials]
    lost = [strata.weights[t.stratum or 0] * (t.n_correct / t.n_images - right) for t in trials]
    return float(np.mean(squares) - np.mean(lost) ** 2)


def summary(found: Sequence[Mapping[str, Any]]) -> str:
    """Medians over the cells in strata."""
    split = [row for row in found if row["width_ratio"]]
    if not split:
        return f"none of {len(found)} cells in strata"
    middle = {name: float(np.median([row[name] for row in split])) for name in ("work_ratio", "width_ratio")}
    return (
        f"{len(split)} of {len(found)} cells in strata: work for the same variance 1/{middle['work_ratio']:.1f}, pilot "
        f"included, intervals 1/{middle['width_ratio']:.2f} as wide (medians)"
    )


def main() -> None:
    """Print a line a cell, write the table, print the medians."""
    parser = argparse.ArgumentParser(description="Trials in hazard strata against plain ones.")
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--trials", type=int, default=300, help="of each kind (default 300)")
    parser.add_argument("-s", "--set", action="append", default=[], help="key=value, overrides a key of the campaign")
    parser.add_argument("--output", type=Path, default=DOCS)
    parser.add_argument("--artifacts", type=Path, help="where trained networks are kept; a temporary folder by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for row in rows(given.campaign, given.set, given.artifacts or Path(folder), given.trials):
            print({key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()}, flush=True)
            found.append(row)
    write_csv(given.output / "strata.csv", found, f"{machine()}; {given.trials} trials of each kind; {summary(found)}")
    print(summary(found))


if __name__ == "__main__":
    main()
