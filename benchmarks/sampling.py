"""What `images: auto` saves: a few images a trial against all of them, cell by cell, on the same flips.

    python benchmarks/sampling.py CAMPAIGN [--trials 300] [--sampled 360] [--schemes …] [--bers …] [--output FOLDER]

Networks are trained and fitted first, which counts for neither. Then each cell has its trials twice, one after the
other by one thread: over all images, and over as many as its pilot says, pilot included. An image counts where a trial
runs it: trials without flips run none, in both. Writes sampling.csv, a row a cell, and prints the sums.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from bench import DOCS, machine, write_csv

from faultbench import stats
from faultbench.artifacts import ArtifactStore
from faultbench.campaign import Cell, load_campaign
from faultbench.parts import parts
from faultbench.pilot import PILOT_IMAGES, images_a_trial
from faultbench.progress import Silent
from faultbench.records import Golden, Trial
from faultbench.sampled import accuracy
from faultbench.stopping import N_PILOT
from faultbench.subjects import Bench
from faultbench.threads import threads
from faultbench.trial import Evaluation
from faultbench.worker import Job, golden_record, run_job

MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Told:
    """What a cell's trials said, and what they cost."""

    mean: float
    interval: stats.Interval
    n_images: int
    seconds: float


@dataclass(frozen=True)
class Bed:
    """A cell, ready for trials."""

    cell: Cell
    evaluation: Evaluation
    golden: Golden
    trial_in_images: float

    def run(self, n_trials: int, *, sampled: bool) -> Told:
        """So many trials, over all images or over as many as pay."""
        started, trials = perf_counter(), list[Trial]()
        fault_model, seed = parts(self.cell.subject).fault, self.cell.subject.seed
        n_images = PILOT_IMAGES if sampled else None
        for number in range(n_trials):
            if sampled and number == N_PILOT:
                n_images = images_a_trial(trials, self.golden, trial_in_images=self.trial_in_images)
            job = Job(self.cell.key, self.cell.ber, number, n_images)
            trials.append(run_job(self.evaluation, fault_model, seed, job))
        took_s = perf_counter() - started
        accuracies = [accuracy(trial, self.golden) for trial in trials]
        n_run = sum(trial.n_images for trial in trials if trial.n_flips)
        return Told(stats.mean(accuracies), stats.mean_interval(accuracies), n_run, took_s)


def beds(path: Path, overrides: list[str], artifacts: Path) -> Iterator[Bed]:
    """Every cell of a campaign, trained and fitted, its golden run done."""
    campaign = load_campaign(path, overrides)
    bench = Bench(ArtifactStore(artifacts), Silent(), memory_bytes=MEMORY_BYTES)
    for subject in campaign.subjects:
        cells = [cell for cell in campaign.cells if cell.subject == subject]
        bench.fitted(subject)
        with threads(1):
            evaluation = bench.evaluation(subject, [cell.ber for cell in cells])
            golden, cost = golden_record(subject, evaluation), parts(subject).trial_in_images
            yield from (Bed(cell, evaluation, golden, cost) for cell in cells)


def row(bed: Bed, n_trials: int, n_sampled: int) -> dict[str, Any]:
    """The two beside each other, both warmed up before."""
    for sampled in (True, False):
        bed.run(N_PILOT + 1 if sampled else 2, sampled=sampled)
    few, all_ = bed.run(n_sampled, sampled=True), bed.run(n_trials, sampled=False)
    subject = bed.cell.subject
    return {
        "model": subject.model.label,
        "scheme": subject.scheme.label,
        "ber": f"{bed.cell.ber:g}",
        "accuracy_all": all_.mean,
        "half_width_all": all_.interval.half_width,
        "accuracy_sampled": few.mean,
        "half_width_sampled": few.interval.half_width,
        "inside": int(all_.interval.low <= few.mean <= all_.interval.high),
        "images_all": all_.n_images,
        "images_sampled": few.n_images,
        "seconds_all": all_.seconds,
        "seconds_sampled": few.seconds,
    }


def summary(rows: list[Mapping[str, Any]]) -> str:
    """The sums over cells, and how the half-widths compare."""
    images, seconds = (sum(r[f"{of}_all"] for r in rows) / max(sum(r[f"{of}_sampled"] for r in rows), 1e-9)
                       for of in ("images", "seconds"))  # fmt: skip
    ratios = [r["half_width_sampled"] / r["half_width_all"] for r in rows]
    return (
        f"{len(rows)} cells: images 1/{images:.1f}, time 1/{seconds:.1f}, half-widths {np.median(ratios):.2f} times "
        f"(median; {min(ratios):.2f} to {max(ratios):.2f}), {sum(r['inside'] for r in rows)} means inside the interval "
        "of all images"
    )


def main() -> None:
    """Print a line a cell, write the table, print the sums."""
    parser = argparse.ArgumentParser(description="A few images a trial against all of them.")
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--trials", type=int, default=300, help="over all images (default 300)")
    parser.add_argument("--sampled", type=int, default=360, help="trials over a few images (default 360)")
    parser.add_argument("-s", "--set", action="append", default=[], help="key=value, overrides a key of the campaign")
    parser.add_argument("--output", type=Path, default=DOCS)
    parser.add_argument("--artifacts", type=Path, help="where trained networks are kept; a temporary folder by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for bed in beds(given.campaign, given.set, given.artifacts or Path(folder)):
            with threads(1):
                rows.append(row(bed, given.trials, given.sampled))
            print({key: f"{x:.4g}" if isinstance(x, float) else x for key, x in rows[-1].items()}, flush=True)
    note = f"{machine()}; {given.trials} trials over all images, {given.sampled} over a few; {summary(rows)}"
    write_csv(given.output / "sampling.csv", rows, note)
    print(summary(rows))


if __name__ == "__main__":
    main()
