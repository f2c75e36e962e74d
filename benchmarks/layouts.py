"""Which convolutions are faster row-major than channels-last, and what networks gain by mixing the two.

    python benchmarks/layouts.py [--rounds N] [--output DIR]

In processor time, on one thread. layouts.csv has for convolutions (filters, channels in and out, side of map)
how many times as fast they are row-major: above 1, row-major is the faster, and the line that
`faultbench/networks/memory_layout.py` draws is there. layouts_networks.csv has for whole networks how many times as
fast they are as faultbench lays them out, against all of it channels-last and against all of it row-major, torch's
default.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
from bench import DOCS, SHAPE, machine, median_ratio, model, pixels, seconds, write_csv
from torch import nn

from faultbench.networks.memory_layout import row_major_layers
from faultbench.networks.tracing.trace import trace

FILTERS = (3, 1)
CHANNELS = (64, 128, 192, 256, 512)
SIDES = (2, 4, 7, 8, 10, 14)
N_IMAGES = 64
NETWORKS = {"alexnet": 256, "vgg16": 64, "resnet20": 64, "resnet50": 32}
"""Images a forward pass, as campaigns take them; of resnet50 fewer, to be done sooner."""


def timed(runs: dict[str, Callable[[], Any]], n_rounds: int) -> dict[str, list[float]]:
    """Seconds of each in every round, taking turns, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(n_rounds + 1):
        for name, run in runs.items():
            taken = seconds(run, process_time)
            if number:
                times[name].append(taken)
    return times


def convolutions(n_rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each shape."""
    for filters, n_channels, side in product(FILTERS, CHANNELS, SIDES):
        layer = nn.Conv2d(n_channels, n_channels, filters, padding=filters // 2)
        images = torch.randn(N_IMAGES, n_channels, side, side)
        last = copy.deepcopy(layer).to(memory_format=torch.channels_last)
        runs = {
            "row-major": partial(layer, images),
            "channels-last": partial(last, images.contiguous(memory_format=torch.channels_last)),
        }
        times = timed(runs, n_rounds)
        ratio = median_ratio(times["channels-last"], times["row-major"])
        row = {"filters": f"{filters}x{filters}", "channels": n_channels, "side": side, "row_major_speedup": ratio}
        print("{filters} {channels:>4} channels {side:>2}x{side:<2} {row_major_speedup:6.2f}".format(**row), flush=True)
        yield row


def networks(n_rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each network."""
    for name, batch in NETWORKS.items():
        built = model(name)
        mixed = trace(copy.deepcopy(built).to(memory_format=torch.channels_last), SHAPE)
        last = copy.deepcopy(built).to(memory_format=torch.channels_last)
        images = pixels(batch)
        images_last = images.contiguous(memory_format=torch.channels_last)
        runs = {
            "mixed": partial(mixed, images_last),
            "channels_last": partial(last, images_last),
            "row_major": partial(built, images),
        }
        times = timed(runs, n_rounds)
        row = {
            "network": name,
            "images": batch,
            "row_major_layers": len(row_major_layers(mixed.graph)),
            "seconds": median(times["mixed"]),
            "x_channels_last": median_ratio(times["channels_last"], times["mixed"]),
            "x_row_major": median_ratio(times["row_major"], times["mixed"]),
        }
        print(" ".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in row.values()), flush=True)
        yield row


@torch.inference_mode()
def main() -> None:
    """Measure, print, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=DOCS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    note = f"{machine()}; processor time, median of {given.rounds} interleaved rounds"
    print(note)
    write_csv(given.output / "layouts_networks.csv", networks(given.rounds), note)
    write_csv(given.output / "layouts.csv", convolutions(given.rounds), f"{note}; {N_IMAGES} images")


if __name__ == "__main__":
    main()
