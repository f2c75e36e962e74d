"""Fault model with a fixed number of flips, round(bits·BER), over the whole memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import Targeted
from faultbench.plugins.registry import fault_model
from faultbench.system.random_streams import generator


@fault_model("exact")
@dataclass(frozen=True)
class Exact(Targeted):
    """Exactly round(bits·BER) flips over the whole memory, as FT-ClipAct's first author injects them.

    lehahoang/Fault-injection-code. Nested in BER; but a memory with bounds is another memory, so that schemes do not
    share their flips as they do under `bernoulli`.
    """

    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        """Return the flips of a trial in a space; halves round to even."""
        n_flips = round(space.n_target_bits * ber)
        chosen = distinct(n_flips, space.n_target_bits, generator(f"exact/{seed}/{trial}"))
        chosen.sort()
        return FaultMap(_addresses(space, chosen))


def distinct(n_chosen: int, n_bits: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return n_chosen different numbers of [0, n_bits), every set equally likely; longer draws begin with shorter ones.

    They are the first different values of an endless stream of even draws.
    """
    stream = np.empty(0, dtype=np.int64)
    first = stream
    size = 64 + n_bits // 2**19  # not from n_chosen, on which the stream must not depend
    while len(first) < n_chosen:
        stream = np.concatenate([stream, rng.integers(n_bits, size=size)])
        first = np.sort(np.unique(stream, return_index=True)[1])
        size *= 2
    return stream[first[:n_chosen]]


def _addresses(space: FaultSpace, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the addresses of bits that are counted over the target bits of all tensors, ascending."""
    starts = np.cumsum([0, *(item.n_target_bits for item in space.stored)])
    cuts = np.searchsorted(chosen, starts)
    parts = [
        offset + item.addresses(chosen[low:high] - start)
        for item, offset, start, low, high in zip(space.stored, space.offsets, starts, cuts, cuts[1:], strict=False)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
