"""FT-ClipAct's search on AlexNet against the same search with whole runs, site by site.

    python benchmarks/search.py [--images N] [--maps N] [--output FOLDER]

One thread, processor time. The search is the scheme's own, from the profiled maximum of each site down. Both searches
meet the same faults and must find the same areas, bit for bit; they take turns. Weights are untrained: what a run costs
does not depend on them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from time import thread_time

import torch
from bench import DOCS, SHAPE, machine, model, write_csv

from faultbench.datasets import Images
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network, Site
from faultbench.networks.stored.network_memory import store_parameters
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.ft_clipact import FtClipAct, ThresholdResilience
from faultbench.schemes.scheme import Fitting, granularities
from faultbench.system.progress.reporter import SilentReporter

MEMORY_BYTES = 1 << 30


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
        reporter=SilentReporter(),
        memory_bytes=memory_bytes,
    )


def searched(given: Fitting, site: Site, n_maps: int, highest: float) -> tuple[list[float], float]:
    """The areas that the search at a site asks for, and the seconds that they took with all that came before."""
    started, scheme, areas = thread_time(), FtClipAct(), list[float]()
    resilience = ThresholdResilience(given, site, scheme.rates, n_maps)

    def area(threshold: float) -> float:
        areas.append(resilience(threshold))
        return areas[-1]

    scheme.search(highest, area)
    return areas, thread_time() - started


def rows(network: Network, images: Images, n_maps: int) -> Iterator[dict[str, str | int | float]]:
    """A row a site, and one of the sums."""
    given = [fitting(network, images, memory_bytes=memory_bytes) for memory_bytes in (0, MEMORY_BYTES)]
    maxima = profiled_bounds(given[0], granularities(network, FtClipAct()))
    total_s = [0.0, 0.0]
    for site in network.sites:
        (areas, whole_s), (same, staged_s) = (searched(one, site, n_maps, float(maxima[site.name])) for one in given)
        assert areas == same, f"{site.name}: {areas} with whole runs, {same} staged"
        total_s = [total_s[0] + whole_s, total_s[1] + staged_s]
        yield _row(site.name, len(set(areas)), whole_s, staged_s)
    yield _row("all", 0, *total_s)


def _row(site: str, n_areas: int, whole_s: float, staged_s: float) -> dict[str, str | int | float]:
    ratio = whole_s / staged_s
    print(f"{site:<14}{n_areas:>4}{whole_s:>10.2f}{staged_s:>10.2f}{ratio:>8.2f}", flush=True)
    return {"site": site, "areas": n_areas or "", "whole_s": whole_s, "staged_s": staged_s, "ratio": ratio}


def main() -> None:
    """Print and write a row a site, and the ratio of the sums."""
    parser = argparse.ArgumentParser(description="FT-ClipAct's search, staged against whole runs.")
    parser.add_argument("--images", type=int, default=128, help="calibration images (default 128)")
    parser.add_argument("--maps", type=int, default=2, help="fault maps a rate (default 2)")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for search.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = trace(model("alexnet").to(memory_format=torch.channels_last), SHAPE)
    store_parameters(network, FixedPoint(15, 16))
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (arguments.images,), generator=generator)
    images = Images(torch.rand(arguments.images, *SHAPE, generator=generator), labels)
    note = f"{machine()}; processor time, {arguments.images} images, {arguments.maps} maps a rate"
    print(note)
    write_csv(arguments.output / "search.csv", rows(network, images, arguments.maps), note)


if __name__ == "__main__":
    main()
