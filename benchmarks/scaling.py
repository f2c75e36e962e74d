"""How a campaign grows: with workers, with flips, with images; and what memory a worker takes.

    python benchmarks/scaling.py [--parts …] [--rounds N] [--trials N] [--output DIR]

workers  trials a second of a campaign on digits, on 1 and on 2 worker processes by turns. All workers are started, and
         have their networks, before the clock starts: it is the pace of a long campaign, with its golden run and the
         counting of its flips. Beside it, in the same rounds, what 1 and 2 processes reach that do nothing but pure
         inference: more than the machine gives these, no campaign can have.
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
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from bench import DOCS, SHAPE, machine, model, pixels, seconds, space, write_csv

from faultbench.campaign import parse_campaign
from faultbench.datasets import Images
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.injection import inject_faults
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.local import Local
from faultbench.runner.run_options import RunOptions
from faultbench.system.progress.reporter import SilentReporter
from faultbench.trials.evaluation import Evaluation

CAMPAIGN = """\
name: scaling
datasets: [digits]
models: [digits_cnn]
schemes: [relu]
bers: [1.0e-5, 1.1e-5, 1.2e-5, 1.3e-5]
trials: {n_trials}
"""
"""Cells enough that the first trial of each starts every worker: a chunk is of one cell."""

N_CELLS = 4
PURE_S = 2.0

Rows = Iterator[dict[str, Any]]

BATCH = 32
"""Larger ones are slower where they no longer fit into the cache, and would pass for growth."""


class Standing(Local):
    """The local engine, whose workers outlive a run."""

    def close(self) -> None:
        """Leave them as they are."""

    def end(self) -> None:
        """Now let them go."""
        super().close()


def workers(n_rounds: int, n_trials: int) -> Rows:
    """Trials a second with 1 and 2 workers, runs a second of pure inference, and medians over rounds of the ratios."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    pure: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(n_rounds):
        for n_workers in rates:
            pure[n_workers].append(_pure_rate(n_workers))
            rates[n_workers].append(_rate(n_workers, n_trials))
    for n_workers in rates:
        yield _row("workers", "trials a second", n_workers, median(rates[n_workers]))
        yield _row("workers", "pure inferences a second", n_workers, median(pure[n_workers]))
    yield _row("workers", "trials a second, 2 workers to 1; asked 1.85", 2, _doubling(rates))
    yield _row("workers", "pure inferences a second, 2 processes to 1", 2, _doubling(pure))


def _doubling(rates: Mapping[int, Sequence[float]]) -> float:
    return median(two / one for one, two in zip(rates[1], rates[2], strict=True))


def _rate(n_workers: int, n_trials: int) -> float:
    engine = Standing(n_workers)
    with TemporaryDirectory() as folder:
        campaign = parse_campaign(CAMPAIGN.format(n_trials=1 + n_trials // N_CELLS), Path(folder) / "scaling.yaml")
        run_campaign(campaign, Path(folder), engine=engine, reporter=SilentReporter(), options=RunOptions(limit=1))
        taken_s = seconds(lambda: run_campaign(campaign, Path(folder), engine=engine, reporter=SilentReporter()))
    engine.end()
    return n_trials // N_CELLS * N_CELLS / taken_s


def _pure_rate(n_processes: int) -> float:
    """Runs a second of all test images through the campaign's network, by so many processes at once."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(n_processes) as pool:
        pool.map(_pure, [0.1] * n_processes, chunksize=1)  # they start
        return sum(pool.map(_pure, [PURE_S] * n_processes, chunksize=1))


@torch.inference_mode()
def _pure(duration_s: float) -> float:
    torch.set_num_threads(1)
    digits = registry.build("dataset", "digits", {})
    network = trace(
        registry.build("model", "digits_cnn", {}, shape=digits.shape, n_classes=digits.n_classes), digits.shape
    )
    network.graph.to(memory_format=torch.channels_last)
    batches = digits.load().test.batches(64)
    started_s, n_runs = perf_counter(), 0
    while perf_counter() - started_s < duration_s:
        for batch in batches:
            network(batch.pixels.contiguous(memory_format=torch.channels_last))
        n_runs += 1
    return n_runs / (perf_counter() - started_s)


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
    with inject_faults(memory, Bernoulli().draw(memory, ber=ber, seed=0, trial=number)):
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
    print(f"{part:<9}{what:<48}{at:>12g}{value:>12.4g}", flush=True)
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
