"""Fault maps drawn within a stratum: the number of hazards that flip lies in the stratum, other bits flip as usual.

Under `bernoulli` every bit flips independently with probability p. So the number K of hazards that flip is binomial and
independent of the other bits. Given K, every set of K hazards is equally likely; given their number, so is every set of
other bits. Therefore K is drawn within the limits of the stratum, then the number of other bits, then both sets without
replacement. The result has exactly the distribution of a plain trial's fault map, given that it lies in the stratum.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import FaultModel
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.system.random_streams import generator
from faultbench.trials.strata.bit_kinds import KEYS_PER_OWNER, BitKinds

_FEW = 30.0
"""Expected flips up to which a number of flips that must not be 0 is drawn from a table. Above, 0 never occurs."""

_NEGLIGIBLE = 1e-18
"""A table of a binomial ends at weights below this share of the largest."""


class BitSet:
    """Bits of a memory that are of some kinds, given by their keys."""

    def __init__(self, memory: BitKinds, keys: Collection[int]) -> None:
        self._memory = memory
        self._is_member: NDArray[np.bool_] = np.zeros(memory.n_keys, dtype=np.bool_)
        self._is_member[list(keys)] = True
        by_bit = np.asarray(self._is_member.reshape(-1, KEYS_PER_OWNER // 2, 2).any(axis=2))
        stored = memory.space.stored
        self._bits = [
            np.array([bit for bit in item.bits_hit if by_bit[owner, bit]], dtype=np.int64)
            for item, owner in zip(stored, memory.tensor_owners.tolist(), strict=True)
        ]
        sizes = [item.tensor.numel() * len(bits) for item, bits in zip(stored, self._bits, strict=True)]
        self._starts = np.cumsum([0, *sizes], dtype=np.int64)

    def draw(self, n_bits: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the addresses of n_bits different bits of the set; every choice has the same chance.

        They are the first different values of an endless uniform stream of addresses. The set must have at least
        n_bits bits.
        """
        stream = np.empty(0, dtype=np.int64)
        drawn = stream
        size = 2 * n_bits + 16
        while len(drawn) < n_bits:
            proposed = self._addresses(rng.integers(self._starts[-1], size=size))
            members = proposed[self._is_member[self._memory.own_keys(proposed)]]
            stream = np.concatenate([stream, members])
            drawn = stream[np.sort(np.unique(stream, return_index=True)[1])]
            size *= 2
        return drawn[:n_bits]

    def _addresses(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the addresses of these places, counted over the bits of each word that the set has kinds of."""
        tensor = np.searchsorted(self._starts, places, side="right") - 1
        addresses = np.empty_like(places)
        for index in np.unique(tensor):
            chosen, bits = tensor == index, self._bits[index]
            word, place = np.divmod(places[chosen] - self._starts[index], len(bits))
            n_word_bits = self._memory.space.stored[index].codec.bits
            addresses[chosen] = self._memory.space.offsets[index] + word * n_word_bits + bits[place]
        return addresses


@dataclass(frozen=True, eq=False)
class StratifiedFaultModel:
    """Fault model that draws trials of one memory in the strata of their cells, and plain trials without strata."""

    plain: FaultModel
    strata: Mapping[float, Strata]
    """Strata of each cell, by BER."""
    hazards: BitSet
    others: BitSet

    @classmethod
    def of_memory(
        cls, memory: BitKinds, hazards: Hazards, strata: Mapping[float, Strata], plain: FaultModel
    ) -> "StratifiedFaultModel":
        """Return the model of a memory in which the pilot has found these hazards."""
        keys = {owner * KEYS_PER_OWNER + 2 * bit + held for owner, bit, held, *_ in hazards.hazardous}
        return cls(plain, strata, BitSet(memory, keys), BitSet(memory, set(range(memory.n_keys)) - keys))

    def stratum(self, *, ber: float, seed: int, trial: int) -> int | None:
        """Return the stratum of a trial, or None if the cell has no strata."""
        strata = self.strata[ber]
        return strata.stratum(seed, trial) if strata.is_split else None

    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        """Draw the flips of a trial within its stratum."""
        strata, stratum = self.strata[ber], self.stratum(ber=ber, seed=seed, trial=trial)
        if stratum is None:
            return self.plain.draw(space, ber=ber, seed=seed, trial=trial)
        return self.draw_in(strata, stratum, ber, f"{seed}/{trial}")

    def draw_in(self, strata: Strata, stratum: int, ber: float, name: str) -> FaultMap:
        """Draw the flips of a trial of this stratum. name identifies the trial for the random streams."""
        rng, rng_of_others = generator(f"{name}/hazards"), generator(f"{name}/others")
        fewest, most = strata.ends(stratum)
        n_others = strata.n_bits - strata.n_hazards
        if fewest == 0 < most:  # memories with any flip
            n_flips = binomial_within(strata.n_bits, ber, 1, strata.n_bits, rng_of_others)
            n_hazards = hypergeometric(strata.n_hazards, n_others, n_flips, rng)
            n_others = n_flips - n_hazards
        else:
            n_hazards = binomial_within(strata.n_hazards, ber, fewest, most, rng)
            if n_hazards or n_others * ber > _FEW:
                n_others = int(rng_of_others.binomial(n_others, ber))
            else:
                n_others = binomial_within(n_others, ber, 1, n_others, rng_of_others)
        addresses = [self.hazards.draw(n_hazards, rng), self.others.draw(n_others, rng_of_others)]
        return FaultMap(np.sort(np.concatenate(addresses)))


def binomial_within(n: int, p: float, fewest: int, most: int, rng: np.random.Generator) -> int:
    """Draw a binomial number, given that it lies in fewest..most. n·p must be below 600, or a weight overflows."""
    weights, k, mode = [1.0], fewest, int(n * p) + 1
    while k < most and (k < mode or weights[-1] > _NEGLIGIBLE * max(weights)):
        weights.append(weights[-1] * (n - k) / (k + 1) * p / (1 - p))
        k += 1
    cumulative = np.cumsum(weights)
    # rng.random() may be so close to 1 that the product equals the last sum.
    place = int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))
    return fewest + min(place, len(weights) - 1)


def hypergeometric(n_good: int, n_others: int, n_drawn: int, rng: np.random.Generator) -> int:
    """Draw how many of n_drawn things, taken without replacement, are good; numpy's takes less than 1e9 things."""
    n_found = 0
    for n_taken in range(n_drawn):
        n_found += int(rng.integers(n_good + n_others - n_taken)) < n_good - n_found
    return n_found
