"""How a campaign grows: with workers, with flips, with images; and what memory a worker takes.

    python benchmarks/scaling.py [--parts …] [--rounds N] [--trials N] [--output DIR]

workers  trials a second of a campaign on digits, on 1 and on 2 worker processes by turns. The workers are started, and
         have their networks, before the clock starts: it is the pace of a long campaign.
flips    time to draw, put in and take out the flips of alexnet, for some hundred to some hundred thousand of them.
images   time of a trial of resnet20 at BER 1e-5, for 32 to 256 images in batches of 32.
memory   the most memory that a process ever had that ran trials of alexnet, each figure of a process of its own.
Times against flips and images are the processor's. Growth is the slope of log time over log flips or images: 1 is
linear, less is better.
"""

import argparse
import multiprocessing
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
import torch
from bench import DOCS, SHAPE, machine, model, pixels, seconds, space, write_csv

from faultbench import registry
from faultbench.campaign import parse_campaign
from faultbench.datasets import Images
from faultbench.faults.bernoulli import Bernoulli
from faultbench.faults.injection import injected
from faultbench.network import trace
from faultbench.progress import Silent
from faultbench.runner import run
from faultbench.terms import Terms
from faultbench.trial import Evaluation, fault_space

CAMPAIGN = """\
name: scaling
datasets: [digits]
models: [digits_cnn]
schemes: [relu]
bers: [1e-5]
trials: {n_trials}
"""

Rows = Iterator[dict[str, Any]]

BATCH = 32
"""Larger ones are slower where they no longer fit into the cache, and would pass for growth."""


def workers(n_rounds: int, n_trials: int) -> Rows:
    """Trials a second with 1 and 2 workers, and the median over rounds of their ratio."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(n_rounds):
        for n_workers, found in rates.items():
            found.append(_rate(n_workers, n_trials))
    for n_workers, found in rates.items():
        yield _row("workers", "trials a second", n_workers, median(found))
    ratio = median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    yield _row("workers", "trials a second, 2 workers to 1; asked 1.85", 2, ratio)


def _rate(n_workers: int, n_trials: int) -> float:
    n_warm = 4 * n_workers
    with TemporaryDirectory() as folder:
        campaign = parse_campaign(CAMPAIGN.format(n_trials=n_trials + n_warm), Path(folder) / "scaling.yaml")
        engine = registry.build("engine", "local", {}, n_workers=n_workers)
        run(campaign, Path(folder), engine=engine, reporter=Silent(), terms=Terms(limit=n_warm))
        return n_trials / seconds(lambda: run(campaign, Path(folder), engine=engine, reporter=Silent()))


def flips(n_rounds: int) -> Rows:
    """Draw, inject and undo on alexnet."""
    memory = space(model("alexnet"), "q15.16")
    times: dict[int, float] = {}
    for ber in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3):
        maps = [Bernoulli().draw(memory, ber=ber, seed=0, trial=number) for number in range(n_rounds)]
        taken = [
            seconds(lambda number=number, ber=ber: _flipped(memory, ber, number), process_time)
            for number in range(n_rounds)
        ]
        times[round(np.mean([len(fault_map) for fault_map in maps]))] = median(taken)
    yield from (_row("flips", "seconds of draw, injection and undo", n, taken) for n, taken in times.items())
    yield _row("flips", "growth", max(times), _slope(times))


def _flipped(memory: Any, ber: float, number: int) -> None:
    with injected(memory, Bernoulli().draw(memory, ber=ber, seed=0, trial=number)):
        pass


def images(n_rounds: int) -> Rows:
    """Trials of resnet20."""
    evaluations = {n: _evaluation("resnet20", n) for n in (32, 64, 128, 256)}
    taken: dict[int, list[float]] = {n: [] for n in evaluations}
    for number in range(n_rounds):
        for n, evaluation in evaluations.items():
            taken[n].append(seconds(lambda number=number, e=evaluation: _trial(e, 1e-5, number), process_time))
    times = {n: median(found) for n, found in taken.items()}
    yield from (_row("images", "seconds of a trial", n, time) for n, time in times.items())
    yield _row("images", "growth", max(times), _slope(times))


def memory() -> Rows:
    """MB of a process against the BER, and against the number of trials."""
    context = multiprocessing.get_context("spawn")
    for what, runs in (
        ("BER", [(ber, 8) for ber in (0.0, 1e-7, 1e-5, 1e-3)]),
        ("trials", [(1e-5, n) for n in (1, 64)]),
    ):
        for ber, n_trials in runs:
            with context.Pool(1) as pool:
                megabytes = pool.apply(_peak, (ber, n_trials))
            yield _row("memory", f"MB of a process against {what}", ber if what == "BER" else n_trials, megabytes)


def _peak(ber: float, n_trials: int) -> float:
    torch.set_num_threads(1)
    evaluation = _evaluation("alexnet", 32)
    for number in range(n_trials if ber else 0):
        _trial(evaluation, ber, number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _evaluation(name: str, n_images: int) -> Evaluation:
    network = trace(model(name), SHAPE)
    codec = registry.build("number_format", "q15.16", {})
    hit = fault_space(network, codec, ("weights", "biases", "bounds"))
    return Evaluation(network, hit, Images(pixels(n_images), torch.zeros(n_images, dtype=torch.int64)), batch=BATCH)


def _trial(evaluation: Evaluation, ber: float, number: int) -> None:
    evaluation.outcome(Bernoulli().draw(evaluation.space, ber=ber, seed=0, trial=number))


def _slope(times: Mapping[int, float]) -> float:
    """Of the upper half, where fixed costs weigh less."""
    upper: Sequence[tuple[int, float]] = sorted(times.items())[len(times) // 2 :]
    return float(np.polyfit(*np.log(np.array(upper)).T, 1)[0])


def _row(part: str, what: str, at: float, value: float) -> dict[str, Any]:
    print(f"{part:<9}{what:<46}{at:>12g}{value:>12.4g}", flush=True)
    return {"part": part, "what": what, "at": at, "value": float(value)}


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=1500, help="of the campaign on 1 and 2 workers")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for scaling.csv")
    parts = {
        "memory": memory,
        "flips": lambda: flips(given.rounds),
        "images": lambda: images(given.rounds),
        "workers": lambda: workers(given.rounds, given.trials),
    }
    parser.add_argument("--parts", nargs="+", choices=list(parts), default=list(parts))
    given = parser.parse_args()
    torch.set_num_threads(1)
    note = f"{machine()}; median of {given.rounds} interleaved rounds"
    print(note)
    rows = [row for part in given.parts for row in parts[part]()]
    write_csv(given.output / "scaling.csv", rows, note)


if __name__ == "__main__":
    main()
