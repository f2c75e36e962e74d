"""What `sampling: stratified` saves: trials in strata of how many hazards flip against plain ones, cell by cell.

    python benchmarks/strata.py CAMPAIGN [--trials 300] [-s key=value …] [--output FOLDER]

The rates of the campaign are replaced by those at which 0.1, 1, 3 and 10 flips a trial are expected. Networks are
trained and fitted first, which counts for neither; the pilot counts for the strata, a quarter for each rate. Writes
strata.csv, a row a cell: variance of what a trial says, half-width of the interval after so many trials, and how many
times as many images plain trials run for the same variance. Where strata do not pay trials are plain, without ratios.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import DOCS, machine, write_csv

from faultbench.artifacts import ArtifactStore
from faultbench.campaign import Cell, load_campaign
from faultbench.flip_kinds import Memory
from faultbench.hazard_pilot import probed
from faultbench.parts import parts
from faultbench.progress import Silent
from faultbench.records import Trial
from faultbench.stopping import Rule
from faultbench.strata import Strata
from faultbench.strata_design import designed
from faultbench.stratified import Stratified
from faultbench.subjects import Bench
from faultbench.threads import threads
from faultbench.trial import Evaluation
from faultbench.weighing import Said, accuracies
from faultbench.worker import Job, golden_record, in_stratum, run_job

MEMORY_BYTES = 1 << 30
EXPECTED_FLIPS = (0.1, 1, 3, 10)


def rows(path: Path, overrides: Sequence[str], artifacts: Path, n_trials: int) -> Iterator[dict[str, Any]]:
    """A row for each protected network and expected number of flips."""
    bench = Bench(ArtifactStore(artifacts), Silent(), memory_bytes=MEMORY_BYTES)
    for subject in load_campaign(path, overrides).subjects:
        n_bits = parts(subject).n_bits
        bers = {flips: flips / n_bits for flips in EXPECTED_FLIPS}
        bench.fitted(subject)
        with threads(1):
            evaluation = bench.evaluation(subject, list(bers.values()))
            memory, plain = Memory(evaluation.network, evaluation.space), parts(subject).fault
            hazards = probed(evaluation, memory, subject.key, subject.seed)
            for flips, ber in bers.items():
                cell = Cell(subject, ber)
                strata = designed(cell.key, hazards, ber, None)
                drawing = Stratified.over(memory, hazards, {ber: strata}, plain)
                found = run(evaluation, cell, plain, n_trials)
                within = run(evaluation, cell, drawing, n_trials, strata) if strata.is_split else None
                yield {
                    "format": subject.format.label,
                    "scheme": subject.scheme.label,
                    "expected_flips": f"{flips:g}",
                    "hazards_pct": 100 * hazards.n_hazards / hazards.n_bits,
                    "pilot_images": hazards.n_image_runs,
                    "trial_images": evaluation.n_images,
                    **compared(found, within, n_trials, hazards.n_image_runs / len(bers) / evaluation.n_images),
                }


def run(evaluation: Evaluation, cell: Cell, drawing: Any, n_trials: int, strata: Strata | None = None) -> Said:
    """What so many trials say."""
    trials: list[Trial] = []
    for number in range(n_trials):
        job, seed = Job(cell.key, cell.ber, number), cell.subject.seed
        trials.append(in_stratum(run_job(evaluation, drawing, seed, job), drawing, seed, job))
    return accuracies(trials, golden_record(cell.subject, evaluation), strata)


def compared(plain: Said, strata: Said | None, n_trials: int, pilot_trials: float) -> dict[str, Any]:
    """The two beside each other; pilot_trials is what the pilot costs the cell, in trials."""
    rule, columns = Rule(n_trials), dict[str, Any]()
    for name, found in (("plain", plain), ("strata", strata)):
        columns[f"accuracy_{name}"] = found.mean if found else ""
        columns[f"variance_{name}"] = float(np.var(found.unscaled, ddof=1)) if found else ""
        columns[f"half_width_{name}"] = found.interval(rule).half_width if found else ""
    if strata is None:
        return {**columns, "variance_ratio": "", "work_ratio": "", "width_ratio": ""}
    ratio = columns["variance_plain"] / max(columns["variance_strata"], 1e-12)
    return {
        **columns,
        "variance_ratio": ratio,
        "work_ratio": ratio * n_trials / (n_trials + pilot_trials),
        "width_ratio": columns["half_width_plain"] / columns["half_width_strata"],
    }


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
