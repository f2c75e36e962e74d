"""The pilot of hazard strata: which kinds of bits do harm, found by flipping a few of each on a few images.

A kind is a layer's weights, say, bit 30, holding 0. Most kinds are harmless, and are found so together: first a bit of
the word with what it holds is probed in all layers at once, some bits in each; where that turns no image, none of
these kinds is looked at again. Of the others each is probed with some bits at once, and where that turns an image, bit
by bit. Then probes with 1, 2, 4, … hazards tell how harm grows with their number, at whatever BER. An image counts as
turned when its top-1 class is another than in the golden run, or its logits are not finite; probed are images that the
golden run has right. What the pilot finds decides how trials are drawn, never what they mean.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_map import FaultMap
from faultbench.results.journal.strata import Hazards, Row
from faultbench.system.random_streams import generator
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.strata.bit_kinds import KEYS, Memory
from faultbench.trials.strata.stratified_faults import BitSet

N_IMAGES = 8
"""Images that a probe of a kind looks at; its kind has four such probes."""

N_IMAGES_TOGETHER = 32
"""Where all layers are probed at once."""

N_IMAGES_MANY = 16
"""Where many hazards, or many other bits, flip."""

N_TOGETHER, N_TOGETHER_OF_MANY = 8, 32
"""Bits of a kind that are flipped at once."""

N_SINGLY, N_SINGLY_OF_MANY = 4, 12
"""Bits of a kind that are flipped one by one, where some did harm together."""

MANY = 0.002
"""Of all bits, from which share on a kind is of many: what is missed there is what trials will vary by."""

THRESHOLD_PCT = 2
"""A kind is hazardous where its flips turn so many per cent of the images, in the mean."""

N_HAZARDS = (1, 2, 4, 8, 16, 32)
N_OTHERS = (8, 64, 512)
"""Hazards flipped together, and other bits."""

N_PROBES = 24
"""Of each of these numbers."""


def probed(evaluation: Evaluation, memory: Memory, subject: str, seed: int) -> Hazards:
    """What probes of a subject find; it depends on the subject, the seed and the memory only."""
    pilot = _Pilot(evaluation, memory, seed)
    rows = tuple(pilot.rows())
    found = Hazards(subject, memory.owners[:-1], rows, (), THRESHOLD_PCT, 0)
    points = tuple(pilot.points({_key(row) for row in found.hazardous}))
    return Hazards(subject, memory.owners[:-1], rows, points, THRESHOLD_PCT, pilot.n_image_runs)


class _Pilot:
    def __init__(self, evaluation: Evaluation, memory: Memory, seed: int) -> None:
        self._evaluation, self._memory, self._seed = evaluation, memory, seed
        self._counts = memory.counts
        self._right = np.flatnonzero(evaluation.golden_right)
        self.n_image_runs = 0

    def rows(self) -> Iterator[Row]:
        """Every kind that there is, in the order of keys."""
        harmless = {key % KEYS for key in range(KEYS) if self._turns_nothing(key)}
        for key in np.flatnonzero(self._counts).tolist():
            yield (*_named(key), int(self._counts[key]), *self._of_kind(key, is_harmless=key % KEYS in harmless))

    def points(self, hazardous: set[int]) -> Iterator[Row]:
        """Probes with hazards alone, then with other bits alone."""
        others = set(np.flatnonzero(self._counts).tolist()) - hazardous
        for number in N_HAZARDS:
            if ends := self._many("hazards", hazardous, number):
                yield _point(number, 0, ends)
        for number in N_OTHERS:
            if ends := self._many("others", others, number):
                yield _point(0, number, ends)

    def _many(self, name: str, keys: set[int], n_bits: int) -> list[Outcome]:
        """Probes with so many bits of these kinds; none where there are fewer."""
        if n_bits > self._counts[list(keys)].sum():
            return []
        bits = BitSet(self._memory, keys)
        names = (f"{name}/{n_bits}/{number}" for number in range(N_PROBES))
        return [self._probe(one, bits, n_bits, N_IMAGES_MANY) for one in names]

    def _turns_nothing(self, bit_and_held: int) -> bool:
        """Whether no image feels some bits of every owner that has such, all at once."""
        rng = self._rng(f"all/{bit_and_held}")
        keys = range(bit_and_held, self._memory.n_keys, KEYS)
        parts = [BitSet(self._memory, [key]).draw(self._n_together(key), rng) for key in keys]
        return not _n_turned(self._run(np.concatenate(parts), N_IMAGES_TOGETHER, rng))

    def _of_kind(self, key: int, *, is_harmless: bool) -> tuple[int, int, int, int]:
        """Flips, those that did harm, images that each of them was tried on, together, and those turned."""
        n_together = self._n_together(key)
        if is_harmless:
            return n_together, 0, n_together * min(N_IMAGES_TOGETHER, len(self._right)), 0
        bits = BitSet(self._memory, [key])
        end = self._probe(f"{key}", bits, n_together)
        n_singly = N_SINGLY_OF_MANY if self._is_of_many(key) else N_SINGLY
        ends = [self._probe(f"{key}/{number}", bits, 1) for number in range(n_singly if _n_turned(end) else 0)]
        if turned := [n_turned for one in ends if (n_turned := _n_turned(one))]:
            return len(ends), len(turned), sum(one.n_golden_correct for one in ends), sum(turned)
        # At least one of those that were flipped together did the harm; one by one none was met that does any.
        return n_together, min(_n_turned(end), 1), n_together * end.n_golden_correct, _n_turned(end)

    def _n_together(self, key: int) -> int:
        return min(N_TOGETHER_OF_MANY if self._is_of_many(key) else N_TOGETHER, int(self._counts[key]))

    def _is_of_many(self, key: int) -> bool:
        return bool(self._counts[key] >= MANY * self._counts.sum())

    def _probe(self, name: str, bits: BitSet, n_bits: int, n_images: int = N_IMAGES) -> Outcome:
        rng = self._rng(name)
        return self._run(bits.draw(n_bits, rng), n_images, rng)

    def _run(self, addresses: NDArray[np.int64], n_images: int, rng: np.random.Generator) -> Outcome:
        chosen = np.sort(rng.permutation(self._right)[:n_images])
        self.n_image_runs += len(chosen)
        return self._evaluation.outcome(FaultMap(np.sort(addresses)), chosen)

    def _rng(self, name: str) -> np.random.Generator:
        return generator(f"{self._seed}/pilot/{name}")


def _n_turned(outcome: Outcome) -> int:
    return outcome.n_sdc + outcome.n_due


def _point(n_hazards: int, n_others: int, ends: Sequence[Outcome]) -> Row:
    turned = [_n_turned(end) for end in ends]
    sums = (sum(turned), sum(n * n for n in turned), sum(end.n_due for end in ends))
    return n_hazards, n_others, len(ends), ends[0].n_golden_correct, *sums


def _named(key: int) -> tuple[int, int, int]:
    owner, bit_and_held = divmod(key, KEYS)
    return owner, *divmod(bit_and_held, 2)


def _key(row: Row) -> int:
    owner, bit, held, *_ = row
    return owner * KEYS + 2 * bit + held
