"""Pilot of hazard strata: flips a few bits of each kind on a few images to find the kinds of bits that do harm.

An example of a kind: bit 30 of a layer's weights, holding 0. Most kinds are harmless, and this is found for many kinds
at once: first a bit of the word with the value that it holds is probed in all layers together, some bits in each. If
that turns no image, none of these kinds is probed again. Each of the other kinds is probed with some bits at once, and
if that turns an image, bit by bit. Then probes with 1, 2, 4, … hazards show how harm grows with their number, at any
BER. An image is turned if its top-1 class differs from the golden run's, or its logits are not finite. Only images that
the golden run classifies correctly are probed. The pilot decides how trials are drawn, never what they mean.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_map import FaultMap
from faultbench.results.journal.strata import Hazards, PointRow
from faultbench.system.random_streams import generator
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.strata.bit_kinds import KEYS_PER_OWNER, BitKinds
from faultbench.trials.strata.stratified_faults import BitSet

N_IMAGES = 8
"""Images of a probe of one kind. A kind has `N_SINGLY` single probes, or more if it has many bits."""

N_IMAGES_TOGETHER = 32
"""Images of a probe of all layers at once."""

N_IMAGES_MANY = 16
"""Images of a probe in which many hazards, or many other bits, flip."""

N_TOGETHER, N_TOGETHER_OF_MANY = 8, 32
"""Bits of a kind that flip together in one probe; the second number is for kinds with many bits."""

N_SINGLY, N_SINGLY_OF_MANY = 4, 12
"""Bits of a kind that flip one by one if some did harm together; the second number is for kinds with many bits."""

MANY = 0.002
"""Least share of all bits from which a kind has many bits. A hazard missed there would make trials vary the most."""

THRESHOLD_PCT = 2
"""A kind is hazardous if its flips turn at least this percentage of the images on average."""

N_HAZARDS = (1, 2, 4, 8, 16, 32)
N_OTHERS = (8, 64, 512)
"""Numbers of hazards, and of other bits, that flip together in the last probes."""

N_PROBES = 24
"""Probes for each of these numbers."""


def probe_hazards(evaluation: Evaluation, memory: BitKinds, subject: str, seed: int) -> Hazards:
    """Probe a subject for hazards. The result depends only on the subject, the seed and the memory."""
    pilot = _Pilot(evaluation, memory, seed)
    rows = tuple(pilot.rows())
    by_kind = Hazards(subject, memory.owners[:-1], rows, (), THRESHOLD_PCT, 0)
    points = tuple(pilot.points({_key(row) for row in by_kind.hazardous}))
    return Hazards(subject, memory.owners[:-1], rows, points, THRESHOLD_PCT, pilot.n_image_runs)


class _Pilot:
    def __init__(self, evaluation: Evaluation, memory: BitKinds, seed: int) -> None:
        self._evaluation, self._memory, self._seed = evaluation, memory, seed
        self._counts = memory.counts
        self._right = np.flatnonzero(evaluation.golden_right)
        self.n_image_runs = 0

    def rows(self) -> Iterator[PointRow]:
        """Yield a row for every kind of bit in the memory, in the order of keys."""
        harmless = {key % KEYS_PER_OWNER for key in range(KEYS_PER_OWNER) if self._turns_nothing(key)}
        for key in np.flatnonzero(self._counts).tolist():
            yield (
                *_kind_of(key),
                int(self._counts[key]),
                *self._probe_kind(key, is_harmless=key % KEYS_PER_OWNER in harmless),
            )

    def points(self, hazardous: set[int]) -> Iterator[PointRow]:
        """Yield the probes with hazards only, then those with other bits only."""
        others = set(np.flatnonzero(self._counts).tolist()) - hazardous
        for number in N_HAZARDS:
            if outcomes := self._probe_many("hazards", hazardous, number):
                yield _point(number, 0, outcomes)
        for number in N_OTHERS:
            if outcomes := self._probe_many("others", others, number):
                yield _point(0, number, outcomes)

    def _probe_many(self, name: str, keys: set[int], n_bits: int) -> list[Outcome]:
        """Run the probes that flip n_bits bits of these kinds together; none if the memory has fewer."""
        if n_bits > self._counts[list(keys)].sum():
            return []
        bits = BitSet(self._memory, keys)
        names = (f"{name}/{n_bits}/{number}" for number in range(N_PROBES))
        return [self._probe(probe, bits, n_bits, N_IMAGES_MANY) for probe in names]

    def _turns_nothing(self, bit_and_held: int) -> bool:
        """Return whether flips of this bit in all owners at once turn no image."""
        rng = self._rng(f"all/{bit_and_held}")
        keys = range(bit_and_held, self._memory.n_keys, KEYS_PER_OWNER)
        parts = [BitSet(self._memory, [key]).draw(self._n_together(key), rng) for key in keys]
        return not _n_turned(self._run(np.concatenate(parts), N_IMAGES_TOGETHER, rng))

    def _probe_kind(self, key: int, *, is_harmless: bool) -> tuple[int, int, int, int]:
        """Return the number of flips, of harmful flips, of image runs, and of images turned."""
        n_together = self._n_together(key)
        if is_harmless:
            return n_together, 0, n_together * min(N_IMAGES_TOGETHER, len(self._right)), 0
        bits = BitSet(self._memory, [key])
        outcome = self._probe(f"{key}", bits, n_together)
        n_singly = N_SINGLY_OF_MANY if self._has_many_bits(key) else N_SINGLY
        singles = [self._probe(f"{key}/{number}", bits, 1) for number in range(n_singly if _n_turned(outcome) else 0)]
        if turned := [n_turned for single in singles if (n_turned := _n_turned(single))]:
            return len(singles), len(turned), sum(single.n_golden_correct for single in singles), sum(turned)
        # At least one of the bits that flipped together did harm, but none of those that flipped alone did.
        return n_together, min(_n_turned(outcome), 1), n_together * outcome.n_golden_correct, _n_turned(outcome)

    def _n_together(self, key: int) -> int:
        return min(N_TOGETHER_OF_MANY if self._has_many_bits(key) else N_TOGETHER, int(self._counts[key]))

    def _has_many_bits(self, key: int) -> bool:
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


def _point(n_hazards: int, n_others: int, outcomes: Sequence[Outcome]) -> PointRow:
    turned = [_n_turned(outcome) for outcome in outcomes]
    sums = (sum(turned), sum(n * n for n in turned), sum(outcome.n_due for outcome in outcomes))
    return n_hazards, n_others, len(outcomes), outcomes[0].n_golden_correct, *sums


def _kind_of(key: int) -> tuple[int, int, int]:
    owner, bit_and_held = divmod(key, KEYS_PER_OWNER)
    return owner, *divmod(bit_and_held, 2)


def _key(row: PointRow) -> int:
    owner, bit, held, *_ = row
    return owner * KEYS_PER_OWNER + 2 * bit + held
