"""What reading costs: `status`, `export`, `plot` and `report` on a results folder of 100,000 trials.

    python benchmarks/reading.py [--trials N] [--rounds N] [--keep FOLDER]

The folder is written through the package's own records and journal: 3 networks × 6 schemes × 6 BERs, outcomes
drawn as this field's are, most trials harmless and a few disasters, the worse the higher the BER; which flips they
held is counted by layer, bit and direction, as `faultbench run` leaves it. Each verb runs in a process of its own in
which torch cannot be imported; the time is from its start to its end, the median of the rounds, and that of the
processor, which hardly hangs on what else the machine does.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter

import numpy as np

from faultbench.results.environment import environment
from faultbench.results.flip_counts import ACCURACY_UNIT, FOLDER, WHOLE_MEMORY, FlipCounts, has_failed, save_counts
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Golden, Overhead, Trial

NETWORKS = {"alexnet": (23_272_266, 66_176), "vgg16": (14_719_818, 276_480), "resnet50": (23_520_842, 2_875_392)}
"""Network → its parameters and its bounds, one a neuron."""
LAYERS = {"alexnet": 8, "vgg16": 16, "resnet50": 54}
"""Network → its layers with weights."""
SCHEMES = {"relu": 0.3, "clip_act": 0.02, "ranger": 0.05, "ft_clipact": 0.015, "fitact": 0.01, "hyrelu_proact": 0.008}
"""Scheme → how much of its accuracy a typical trial loses at the highest BER."""
BERS = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5)
N_IMAGES = 10_000
COMMANDS = (
    ("status",), ("export",), ("export", "--format", "latex"), ("export", "--format", "markdown"), ("plot",),
    ("plot", "--style", "paper"), ("report",),
)  # fmt: skip
WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; sys.argv = ['faultbench', *sys.argv[1:]]; "
    "from faultbench.cli.main import main; main()"
)


@dataclass(frozen=True)
class MadeCell:
    """A cell of the manifest, under the names that it has there."""

    cell: str
    subject: str
    dataset: str
    model: str
    scheme: str
    guard: str
    format: str
    fault: str
    ber: float


def cells() -> list[MadeCell]:
    """The grid, keyed as real cells are: by 32 hex digits."""
    return [
        MadeCell(key(model, scheme, ber), key(model, scheme), "cifar10", model, scheme, *OTHERS, ber)
        for model, scheme, ber in product(NETWORKS, SCHEMES, BERS)
    ]


OTHERS = ("none", "q15.16", "bernoulli")


def key(*parts: object) -> str:
    """32 hex digits."""
    return sha256(repr(parts).encode()).hexdigest()[:32]


def trials_of(cell: MadeCell, n_trials: int) -> Iterator[Trial]:
    """Trials of a cell: binomial flips, a loss that few trials have much of."""
    rng = np.random.default_rng(int(cell.cell[:8], 16))
    n_bits = 32 * sum(NETWORKS[cell.model])
    for number, n_flips in enumerate(rng.binomial(n_bits, cell.ber, size=n_trials).tolist()):
        share = min(0.9, SCHEMES[cell.scheme] * rng.exponential() ** 2 * (cell.ber / BERS[-1]) ** 0.5)
        wrong = int(N_IMAGES * share) if n_flips else 0
        n_due, n_critical = wrong // 8, wrong - wrong // 8 - wrong // 10
        yield Trial(
            cell=cell.cell,
            trial=number,
            n_flips=n_flips,
            n_images=N_IMAGES,
            n_correct=9_000 - min(9_000, n_critical + n_due),
            n_masked=N_IMAGES - wrong,
            n_sdc=wrong - n_due,
            n_sdc_critical=n_critical,
            n_due=n_due,
            flips_digest=key(cell.model, cell.ber, number)[:16],
        )


def costs(cell: MadeCell) -> tuple[Golden, Overhead]:
    """What is recorded of the cell's protected network."""
    parameters, neurons = NETWORKS[cell.model]
    bounds = {"relu": 0, "fitact": neurons, "hyrelu_proact": 4_102}.get(cell.scheme, 13)
    return (
        Golden(cell.subject, N_IMAGES, 9_000, 32 * (parameters + bounds), key(cell.subject)[:16]),
        Overhead(cell.subject, parameters, bounds, 32 * bounds, 300_000_000, 1.1, 1.08, 1.13, 12.5, 20, 0),
    )


def attributed(cell: MadeCell, trials: Sequence[Trial], golden: Golden) -> FlipCounts:
    """Flips spread evenly over bits and directions, and over layers by size; the more of them, the more trials."""
    rng = np.random.default_rng(int(cell.cell[-8:], 16))
    sizes = rng.dirichlet(np.full(LAYERS[cell.model], 0.5))
    owners = [(f"layer{place}", kind) for place in range(len(sizes)) for kind in ("weights", "biases")]
    shares = np.stack([sizes, sizes / 1_000], axis=1).ravel() / 64
    failed = np.array([has_failed(trial, golden) for trial in trials])
    right = ACCURACY_UNIT * np.array([trial.n_correct for trial in trials]) // N_IMAGES
    keys = list(np.ndindex(len(owners), 32, 2)) + [(len(owners), *key) for key in np.ndindex(32, 2)]
    expected = np.append(np.repeat(shares, 64), np.full(64, 1 / 64)) * np.mean([trial.n_flips for trial in trials])
    rows = []
    for key, mean in zip(keys, expected, strict=True):
        flips = rng.poisson(mean, size=len(trials))
        if flips.any():
            held = flips > 0
            rows.append((*key, flips.sum(), held.sum(), failed[held].sum(), right[held].sum()))
    numbers = frozenset(trial.trial for trial in trials)
    return FlipCounts(
        cell.cell, numbers, int(failed.sum()), int(right.sum()), (*owners, WHOLE_MEMORY), np.array(rows, dtype=np.int64)
    )


def write(folder: Path, n_trials: int) -> int:
    """Write manifest and journal of about n_trials trials; gives how many."""
    each = max(1, round(n_trials / len(cells())))
    folder.mkdir(parents=True)
    manifest = {
        "faultbench": "benchmark",
        "campaign": folder.name,
        "identity": "0" * 32,
        "trials": each,
        "environment": environment(),
        "spec": {
            "name": folder.name,
            "seed": 1,
            "datasets": [{"name": "cifar10", "label": "cifar10"}],
            "models": [{"name": name, "label": name} for name in NETWORKS],
            "schemes": [{"name": name, "label": name} for name in SCHEMES],
            "bers": list(BERS),
        },
        "cells": [asdict(cell) for cell in cells()],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    counts: dict[str, list[FlipCounts]] = {}
    with Journal(folder / "journal", "made") as journal:
        for cell in cells():
            if cell.ber == BERS[0]:
                for record in costs(cell):
                    journal.append(record.to_record())
            for trial in (trials := list(trials_of(cell, each))):
                journal.append(trial.to_record())
            counts.setdefault(cell.subject, []).append(attributed(cell, trials, costs(cell)[0]))
    (folder / FOLDER).mkdir()
    for subject, found in counts.items():
        save_counts(folder / FOLDER, subject, found)
    return each * len(cells())


def timed(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Seconds of one run by the clock and of the processor; its error ends the benchmark."""
    start, before = perf_counter(), getrusage(RUSAGE_CHILDREN)
    arguments = [sys.executable, "-c", WITHOUT_TORCH, command[0], str(folder), *command[1:]]
    subprocess.run(arguments, check=True, capture_output=True)
    after = getrusage(RUSAGE_CHILDREN)
    return perf_counter() - start, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the seconds of every verb."""
    parser = argparse.ArgumentParser(description="What reading a results folder costs.")
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="write the folder here and leave it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary) / "reading"
        n_trials = write(folder, arguments.trials)
        print(f"{environment()['processor']}; {n_trials:,} trials, median of {arguments.rounds} runs")
        for command in COMMANDS:
            by_clock, of_processor = zip(*(timed(command, folder) for _ in range(arguments.rounds)), strict=True)
            seconds = f"{median(by_clock):>8.2f} s, of the processor{median(of_processor):>6.2f} s"
            print(f"{' '.join(command):<24}{seconds}", flush=True)
        print(f"report.html {(folder / 'report.html').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
