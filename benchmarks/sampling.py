"""What `images: auto` saves: a few images per trial against all of them, cell by cell, on the same flips.

    python benchmarks/sampling.py CAMPAIGN [-s KEY=VALUE] [--trials 300] [--sampled 360] [--full RESULTS] [--table NAME]

Networks are trained and fitted first and their golden runs done, which counts for neither. Then each cell has its
trials twice, by turns in chunks as campaigns have them: over all images, and over as many as its pilot says, pilot
included. Seconds are processor time of one thread, so that other work on the machine does not count. An image counts
where a trial runs it: trials without flips run none, in both. Writes a row a cell, and prints the sums.

Where all images take hours, they come from finished results folders of the same campaign with `images=all`, as often
as `--full` is given; `--timed` of their trials, evenly spread, are then run again, held against what is recorded, and
stand for the time of all.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from bench import DOCS, machine, write_csv

from faultbench.campaign import Cell, load_campaign
from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.results import stats
from faultbench.results.image_samples import trial_accuracy
from faultbench.results.journal.contents import read_journals
from faultbench.results.journal.lines import line
from faultbench.results.journal.records import Golden, Trial
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import Components, build_components
from faultbench.system.progress.reporter import SilentReporter
from faultbench.system.threads import threads
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.images_per_trial import PILOT_IMAGES, choose_n_images
from faultbench.trials.trial import TrialJob, golden_record, run_jobs

MEMORY_BYTES = 1 << 30

CHUNK = 64
"""Trials over a few images that run together, as in campaigns."""


@dataclass(frozen=True)
class Told:
    """What a cell's trials said, and what they cost."""

    mean: float
    interval: stats.Interval
    n_images: int
    seconds: float


@dataclass
class Side:
    """A cell's trials over all images, or over a few, as far as they are run, and the seconds that they took."""

    bed: "Bed"
    is_sampled: bool
    trials: list[Trial] = field(default_factory=list)
    seconds: float = 0.0

    def run(self, numbers: Sequence[int]) -> list[Trial]:
        """Run trials of these numbers as a worker does, down to the lines of the journal."""
        bed, started = self.bed, process_time()
        pilot = self.trials[:N_PILOT]
        n_images = self._n_images(pilot) if self.is_sampled else None
        jobs = [TrialJob(bed.cell.key, bed.cell.ber, number, n_images) for number in numbers]
        found = run_jobs(bed.evaluation, bed.built.fault, bed.cell.subject.seed, jobs)
        for trial in found:
            line(trial.to_record())
        self.seconds += process_time() - started
        return found

    def _n_images(self, pilot: Sequence[Trial]) -> int:
        if len(pilot) < N_PILOT:
            return PILOT_IMAGES
        return choose_n_images(pilot, self.bed.golden, overhead_images=self.bed.overhead_images)

    def told(self) -> Told:
        """What the trials run so far come to."""
        accuracies = [trial_accuracy(trial, self.bed.golden) for trial in self.trials]
        n_run = sum(trial.n_images for trial in self.trials if trial.n_flips)
        return Told(stats.mean(accuracies), stats.mean_interval(accuracies), n_run, self.seconds)


@dataclass(frozen=True)
class Bed:
    """A cell, ready for trials."""

    cell: Cell
    evaluation: Evaluation
    golden: Golden
    built: Components
    overhead_images: float


def beds(path: Path, overrides: list[str], artifacts: Path) -> Iterator[Bed]:
    """Every cell of a campaign, trained and fitted, its golden run done."""
    campaign = load_campaign(path, overrides)
    bench = SubjectBuilder(ArtifactStore(artifacts), SilentReporter(), memory_bytes=MEMORY_BYTES)
    for subject in campaign.subjects:
        cells = [cell for cell in campaign.cells if cell.subject == subject]
        bench.fit(subject)
        with threads(1):
            evaluation = bench.evaluation(subject, [cell.ber for cell in cells])
            golden, built = golden_record(subject, evaluation), build_components(subject)
            cost = built.overhead_images
            yield from (Bed(cell, evaluation, golden, built, cost) for cell in cells)


def both(bed: Bed, n_trials: int, n_sampled: int) -> tuple[Told, Told]:
    """All images and a few, chunk by chunk by turns; both have their memory warm before."""
    for is_sampled in (True, False):
        for number in range(2):
            Side(bed, is_sampled).run([number])
    few, all_ = Side(bed, is_sampled=True), Side(bed, is_sampled=False)
    chunks = _chunks(n_sampled)
    for n_done, numbers in enumerate(chunks, start=1):
        few.trials += few.run(numbers)
        all_.trials += all_.run(range(len(all_.trials), n_trials * n_done // len(chunks)))
    return all_.told(), few.told()


def beside_recorded(bed: Bed, recorded: Sequence[Trial], n_timed: int, n_sampled: int) -> tuple[Told, Told]:
    """All images as they are recorded, some of them timed, and a few images."""
    timed, all_ = Side(bed, is_sampled=False), Side(bed, is_sampled=False)
    for number in np.linspace(0, len(recorded) - 1, n_timed).round().astype(int).tolist():
        if timed.run([number]) != [recorded[number]]:
            raise SystemExit(f"{bed.cell.key}: trial {number} comes out otherwise than recorded")
    all_.trials, all_.seconds = list(recorded), timed.seconds * len(recorded) / n_timed
    few = Side(bed, is_sampled=True)
    for numbers in _chunks(n_sampled):
        few.trials += few.run(numbers)
    return all_.told(), few.told()


def _chunks(n_sampled: int) -> list[range]:
    """The pilot, then the others."""
    starts = [0, *range(N_PILOT, n_sampled, CHUNK)]
    return [range(start, stop) for start, stop in pairwise([*starts, n_sampled])]


def row(bed: Bed, all_: Told, few: Told) -> dict[str, Any]:
    """The two beside each other."""
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
        f"{len(rows)} cells: images 1/{images:.1f}, processor time 1/{seconds:.1f}, half-widths "
        f"{np.median(ratios):.2f} times (median; {min(ratios):.2f} to {max(ratios):.2f}), "
        f"{sum(r['inside'] for r in rows)} means inside the interval of all images"
    )


def main() -> None:
    """Print a line a cell, write the table, print the sums."""
    parser = argparse.ArgumentParser(description="A few images per trial against all of them.")
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--trials", type=int, default=300, help="over all images (default 300)")
    parser.add_argument("--sampled", type=int, default=360, help="trials over a few images (default 360)")
    parser.add_argument("-s", "--set", action="append", default=[], help="key=value, overrides a key of the campaign")
    parser.add_argument("--output", type=Path, default=DOCS)
    parser.add_argument("--artifacts", type=Path, help="where trained networks are kept; a temporary folder by default")
    parser.add_argument("--full", type=Path, action="append", default=[], help="results folder over all images")
    parser.add_argument("--timed", type=int, default=6, help="recorded trials that are run again and timed (default 6)")
    parser.add_argument("--table", default="sampling.csv", help="name of the table (default sampling.csv)")
    given = parser.parse_args()
    recorded = read_journals([folder / "journal" for folder in given.full]).trials
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for bed in beds(given.campaign, given.set, given.artifacts or Path(folder)):
            trials = [recorded[bed.cell.key, n] for n in range(given.trials) if (bed.cell.key, n) in recorded]
            if given.full and len(trials) < given.trials:
                print(
                    f"{bed.cell.subject.scheme.label} at {bed.cell.ber:g}: not finished in what --full names; left out"
                )
                continue
            with threads(1):
                told = (
                    beside_recorded(bed, trials, given.timed, given.sampled)
                    if given.full
                    else both(bed, given.trials, given.sampled)
                )
            rows.append(row(bed, *told))
            print({key: f"{x:.4g}" if isinstance(x, float) else x for key, x in rows[-1].items()}, flush=True)
    if not rows:
        raise SystemExit("no cell was finished in what --full names")
    note = f"{machine()}; {given.trials} trials over all images, {given.sampled} over a few; {summary(rows)}"
    write_csv(given.output / given.table, rows, note)
    print(summary(rows))


if __name__ == "__main__":
    main()
