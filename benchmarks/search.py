"""FT-ClipAct's search on AlexNet against the same search with whole runs, site by site.

    python benchmarks/search.py [--images N] [--maps N] [--output FOLDER]

One thread, processor time. Both searches meet the same faults and evaluate the same thresholds, and must find the
same areas, bit for bit; they take turns. Weights are untrained: what a run costs does not depend on them.
"""

import argparse
import csv
from pathlib import Path
from time import thread_time

import numpy as np
import torch
from bench import SHAPE, machine, model

from faultbench.datasets import Images
from faultbench.formats.fixed import FixedPoint
from faultbench.network import Network, Site, trace
from faultbench.progress import Silent
from faultbench.schemes.ft_clipact import FtClipAct, Resilience
from faultbench.schemes.scheme import Fitting, store

MEMORY_BYTES = 1 << 30
N_POINTS = 4
"""Thresholds of a narrowing step, from 0 to the highest."""


def fitting(network: Network, images: Images, *, memory_bytes: int) -> Fitting:
    """What a search sees; it takes nothing from training images."""
    return Fitting(
        network=network,
        train=images,
        calibration=images,
        augment=lambda pixels, _: pixels,
        codec=FixedPoint(15, 16),
        batch=256,
        schedule="fast",
        seed=0,
        title="",
        reporter=Silent(),
        memory_bytes=memory_bytes,
    )


def searched(network: Network, images: Images, site: Site, n_maps: int, memory_bytes: int) -> tuple[list[float], float]:
    """The areas of one narrowing step at a site, and the seconds that they took with all that came before."""
    started = thread_time()
    given = fitting(network, images, memory_bytes=memory_bytes)
    resilience = Resilience(given, site, FtClipAct().rates, n_maps)
    areas = [resilience(threshold) for threshold in np.linspace(0, 1, N_POINTS).tolist()]
    return areas, thread_time() - started


def main() -> None:
    """Print and write a row a site, and the ratio of the sums."""
    parser = argparse.ArgumentParser(description="FT-ClipAct's search, staged against whole runs.")
    parser.add_argument("--images", type=int, default=256, help="calibration images (default 256)")
    parser.add_argument("--maps", type=int, default=4, help="fault maps a rate (default 4)")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="folder for search.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = trace(model("alexnet").to(memory_format=torch.channels_last), SHAPE)
    store(network, FixedPoint(15, 16))
    images = Images(torch.rand(arguments.images, *SHAPE), torch.randint(10, (arguments.images,)))
    print(machine())
    rows = [("site", "whole_s", "staged_s", "ratio")]
    total = np.zeros(2)
    for site in network.sites:
        (areas, whole_s), (same, staged_s) = (
            searched(network, images, site, arguments.maps, memory_bytes) for memory_bytes in (0, MEMORY_BYTES)
        )
        assert areas == same, f"{site.name}: {areas} with whole runs, {same} staged"
        total += (whole_s, staged_s)
        rows.append((site.name, f"{whole_s:.2f}", f"{staged_s:.2f}", f"{whole_s / staged_s:.2f}"))
        print(*rows[-1], flush=True)
    rows.append(("all", f"{total[0]:.2f}", f"{total[1]:.2f}", f"{total[0] / total[1]:.2f}"))
    print(*rows[-1])
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "search.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*rows, (machine(), "", "", "")])


if __name__ == "__main__":
    main()
