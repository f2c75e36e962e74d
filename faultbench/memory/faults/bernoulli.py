"""The reference fault model: every bit flips independently with probability BER."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import Targeted
from faultbench.plugins.registry import fault_model
from faultbench.system.random_streams import generator


@fault_model("bernoulli")
@dataclass(frozen=True)
class Bernoulli(Targeted):
    """Every bit flips independently with probability BER."""

    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        """Return the flips of a trial in a space; ber is 0 to 0.5.

        The flips of a tensor depend on (seed, its name, its bits, trial, ber) only; those at a lower ber are among
        those at a higher one.
        """
        if not 0 <= ber <= 0.5:
            raise ValueError(f"a bit error rate must be 0 to 0.5, not {ber}")
        hits, time = [np.empty(0, dtype=np.int64)], -math.log1p(-ber)
        for item, offset, n_bits in space.targets:
            # The name comes last: it may hold any character, and still no two triples give the same text.
            rng = generator(f"bernoulli/{seed}/{trial}/{item.name}")
            # Most tensors are not hit, which the first wait says at a fraction of a block's cost.
            if (first := rng.standard_exponential()) < time * n_bits:
                hits.extend(offset + item.addresses(block) for block in _hits(n_bits, time * n_bits, first, rng))
        addresses = np.concatenate(hits)
        addresses.sort()  # np.unique hashes first and takes four times as long
        return FaultMap(addresses[np.diff(addresses, prepend=-1) > 0])


def _hits(n_bits: int, time_left: float, first: float, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the bits of [0, n_bits) that flip, in blocks; they are in no order, and some are repeated.

    Let every bit be hit by a Poisson process of rate 1 of its own. By time t = -log(1 - ber) it has been hit
    with probability 1 - exp(-t) = ber, whatever happened to the others: the bits hit by then are the flips,
    and more time only adds to them. time_left is n_bits times t. All processes together hit at rate n_bits, each time
    a bit chosen evenly, so the waits between hits are standard exponentials over n_bits; first is the first of them.
    The number of flips is thus exactly binomial, at a cost that grows with the flips and not with the memory.
    """
    # Blocks of times and bits alternate in the stream, so their sizes must not depend on ber. The first one is
    # enough for a ber of 2e-6, and costs little where there is no flip.
    size = 64 + n_bits // 2**19
    times = np.concatenate([[first], rng.standard_exponential(size - 1)]).cumsum()
    while True:
        yield rng.integers(n_bits, size=size)[: int(times.searchsorted(time_left))]
        time_left -= times[-1]
        if time_left <= 0:
            return
        size *= 2
        times = rng.standard_exponential(size).cumsum()
