"""A memory of nine bits whose fault maps can all be run, hazards made up for it, and strata of made-up cells."""

from functools import cache
from itertools import chain, combinations

import numpy as np
import torch
from networks import SHAPE, Residual, some_images

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import trace
from faultbench.results.journal.strata import TOTAL, Hazards, Strata
from faultbench.trials.evaluation import Evaluation, fault_space
from faultbench.trials.strata.bit_kinds import Memory

N_BITS = 9
POINTS = ((1, 0, 24, 16, 150, 1500, 10), (2, 0, 24, 16, 250, 3000, 20), (0, 2, 24, 16, 5, 9, 0))


def evaluation(n_images: int = 40) -> Evaluation:
    """Three biases of three bits, and images most of which the golden run has right."""
    network = trace(Residual(), SHAPE)
    pixels = some_images(n_images)
    with torch.no_grad():
        labels = network(pixels).argmax(1)
    labels[::10] = (labels[::10] + 1) % 3
    space = fault_space(network, FixedPoint(0, 2), ("biases",), owners={"linear"})
    return Evaluation(network, space, Images(pixels, labels), batch=64)


def memory_of(found: Evaluation) -> Memory:
    return Memory(found.network, found.space)


def hazards_of(memory: Memory, *, first_bit: int = 1, points: tuple[tuple[int, ...], ...] = POINTS) -> Hazards:
    """As if a pilot had found all bits from first_bit on to do harm."""
    rows = []
    for key in np.flatnonzero(memory.counts).tolist():
        owner, bit, held = key // 64, key % 64 // 2, key % 2
        harm = 4 if bit >= first_bit else 0
        rows.append((owner, bit, held, int(memory.counts[key]), 4, harm, 32, 8 * harm))
    return Hazards("s" * 32, memory.owners[:-1], tuple(rows), points, 2, 1000)


@cache
def fault_maps() -> list[FaultMap]:
    """All of them."""
    sizes = (combinations(range(N_BITS), size) for size in range(N_BITS + 1))
    return [FaultMap(np.array(chosen, dtype=np.int64)) for chosen in chain.from_iterable(sizes)]


def a_cell(**changes: object) -> Strata:
    """Two strata, the first of which is likely and drawn half the time; any field may be given."""
    fields = {
        "cell": "c" * 32, "n_bits": 1000, "n_hazards": 50, "first": (0, 1), "share": (0.8, 0.1),
        "drawn": (TOTAL // 2, TOTAL // 2), "lost": (0.01, 0.5), "due": (0.0, 0.1), "gain": 2.0, "variance_gain": 5.0,
    }  # fmt: skip
    return Strata(**{**fields, **changes})  # type: ignore[arg-type]  # fields are mixed
