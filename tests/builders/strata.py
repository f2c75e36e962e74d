"""Builders of a memory of nine bits, small enough to run all its fault maps, and of hazards for it."""

from functools import cache
from itertools import chain, combinations

import numpy as np
import torch

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.results.journal.strata import Hazards
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.strata.bit_kinds import BitKinds
from tests.builders.networks import SHAPE, Residual, some_images

N_BITS = 9
POINTS = ((1, 0, 24, 16, 150, 1500, 10), (2, 0, 24, 16, 250, 3000, 20), (0, 2, 24, 16, 5, 9, 0))


def evaluation(n_images: int = 40) -> Evaluation:
    """Evaluation of a network with three biases of three bits. The golden run classifies most images correctly."""
    network = trace(Residual(), SHAPE)
    pixels = some_images(n_images)
    with torch.no_grad():
        labels = network(pixels).argmax(1)
    labels[::10] = (labels[::10] + 1) % 3
    space = fault_space(network, FixedPoint(0, 2), ("biases",), owners={"linear"})
    return Evaluation(network, space, Images(pixels, labels), batch=64)


def memory_of(found: Evaluation) -> BitKinds:
    return BitKinds(found.network, found.space)


def hazards_of(memory: BitKinds, *, first_bit: int = 1, points: tuple[tuple[int, ...], ...] = POINTS) -> Hazards:
    """Return the result of a pilot that found all bits from first_bit on to do harm."""
    rows = []
    for key in np.flatnonzero(memory.counts).tolist():
        owner, bit, held = key // 64, key % 64 // 2, key % 2
        harm = 4 if bit >= first_bit else 0
        rows.append((owner, bit, held, int(memory.counts[key]), 4, harm, 32, 8 * harm))
    return Hazards("s" * 32, memory.owners[:-1], tuple(rows), points, 2, 1000)


@cache
def fault_maps() -> list[FaultMap]:
    """Return all fault maps of the memory."""
    sizes = (combinations(range(N_BITS), size) for size in range(N_BITS + 1))
    return [FaultMap(np.array(chosen, dtype=np.int64)) for chosen in chain.from_iterable(sizes)]
