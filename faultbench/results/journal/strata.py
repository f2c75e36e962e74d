"""Hazard strata as a journal holds them: which bits do harm, and how the trials of a cell are allocated to strata.

A *hazard* is a bit of a kind (layer, kind of parameter, bit of the word, what it holds) of which some flips turned
images in a pilot. The trials of a cell are stratified by K, the number of hazards that flip: stratum j holds the fault
maps with first[j] ≤ K < first[j + 1], the last stratum all larger K. The first stratum is K = 0 with at least one flip
elsewhere. A memory without any flip is in no stratum: it is the golden run and needs no trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np

from faultbench.results.journal.field_checks import check_counts, check_text
from faultbench.results.journal.records import Recorded
from faultbench.results.journal.trial_rules import LARGEST, LONGEST_NAME
from faultbench.system.random_streams import generator

N_BITS = 32
"""Bits of a word."""

TOTAL = 2**16
"""Denominator of the allocation: of this many trials, a whole number is drawn from each stratum."""

PointRow = tuple[int, ...]

ROW = ("owner", "bit", "held", "n_bits", "n_flips", "n_failing", "n_images", "n_turned")
"""Columns of a kind of bit: index into owners, bit, what it holds, number of such bits in memory, probed flips, flips
that turned an image, images that the flips were tried on, in total, and images that were turned."""

POINT = ("n_hazards", "n_others", "n_probes", "n_images", "turned", "turned_squared", "due")
"""Columns of probes with given numbers of flipped hazards and other bits: their number, images per probe, sums over
probes."""


@dataclass(frozen=True)
class Hazards(Recorded):
    """Result of a subject's pilot: a row per kind of bit, and how harm grows with the number of flipped hazards.

    A kind is hazardous if n_turned / n_images is at least threshold_pct per cent.
    """

    KIND: ClassVar[str] = "hazards"
    subject: str
    owners: tuple[tuple[str, str], ...]
    rows: tuple[PointRow, ...]
    points: tuple[PointRow, ...]
    threshold_pct: int
    n_image_runs: int

    def __post_init__(self) -> None:
        check_text(self, "subject")
        check_counts(self, "threshold_pct", "n_image_runs")
        object.__setattr__(self, "owners", tuple(map(_owner, _listed(self.owners))))
        object.__setattr__(self, "rows", _rows(self.rows, ROW))
        object.__setattr__(self, "points", _rows(self.points, POINT))
        for owner, bit, held, n_bits, n_flips, n_failing, n_images, n_turned in self.rows:
            if owner >= len(self.owners) or not n_images:
                raise ValueError("a kind of bit needs an owner and images that it was probed on")
            if bit >= N_BITS or held > 1 or not n_flips >= 1 or not n_failing <= n_flips or not n_turned <= n_images:
                raise ValueError(f"no pilot counts this: {n_bits:,} bits, {n_failing} of {n_flips} flips failing")
        for _, _, n_probes, n_images, turned, squared, due in self.points:
            n_runs = n_probes * n_images
            if not n_runs or not due <= turned <= n_runs or not turned <= squared <= n_runs * n_images:
                raise ValueError(f"no pilot counts this: {turned} of {n_runs} images turned")

    @property
    def hazardous(self) -> tuple[PointRow, ...]:
        """Return the rows of hazardous kinds."""
        return tuple(row for row in self.rows if 100 * row[-1] >= self.threshold_pct * row[-2])

    @property
    def n_hazards(self) -> int:
        """Return the number of bits of hazardous kinds."""
        return sum(row[ROW.index("n_bits")] for row in self.hazardous)

    @property
    def n_bits(self) -> int:
        """Return the number of bits that faults can hit."""
        return sum(row[ROW.index("n_bits")] for row in self.rows)


@dataclass(frozen=True)
class Strata(Recorded):
    """Strata that the trials of a cell are drawn in; without strata they are plain trials.

    share is the exact probability of each stratum; drawn is how many of `TOTAL` trials are drawn from it. lost and due
    are the expected fractions of images that are turned there, and whose logits are not finite. gain is how many times
    as many plain trials are expected to be needed for the same interval, variance_gain for the same variance.
    """

    KIND: ClassVar[str] = "strata"
    cell: str
    n_bits: int
    n_hazards: int
    first: tuple[int, ...]
    share: tuple[float, ...]
    drawn: tuple[int, ...]
    lost: tuple[float, ...]
    due: tuple[float, ...]
    gain: float
    variance_gain: float

    def __post_init__(self) -> None:
        check_text(self, "cell")
        check_counts(self, "n_bits", "n_hazards")
        for name, kind in (("first", int), ("drawn", int), ("share", float), ("lost", float), ("due", float)):
            values = tuple(_listed(getattr(self, name)))
            if len(values) != len(self.first) or not all(type(value) in (kind, int) for value in values):
                raise ValueError(f"{name} must hold a number for each stratum, not {values}")
            object.__setattr__(self, name, values)
        for name in ("gain", "variance_gain"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= LARGEST:
                raise ValueError(f"{name} must be a finite number, at least 0, not {str(value)[:40]}")
        self._check_values()
        if self.n_hazards > self.n_bits or any(first > self.n_hazards for first in self.first):
            raise ValueError(f"more hazards than bits, or strata of more than {self.n_hazards:,} hazards")

    def _check_values(self) -> None:
        if self.first and (sum(self.drawn) != TOTAL or min(self.drawn) < 1):
            raise ValueError(f"every stratum must be drawn, {TOTAL} times together, not {self.drawn}")
        if self.first != tuple(sorted(set(self.first))) or self.first[:1] not in ((), (0,)):
            raise ValueError(f"strata must begin at 0 and rise, not {self.first}")
        fractions = (*self.share, *self.lost, *self.due, sum(self.share) - 1e-9)
        if (
            not all(0 <= value <= 1 for value in fractions[:-1])
            or fractions[-1] > 1
            or not min(self.gain, self.variance_gain) >= 0
        ):
            raise ValueError(f"shares and expected losses must lie in 0..1: {self}")

    @property
    def is_split(self) -> bool:
        """Return whether there are strata; otherwise trials are plain."""
        return bool(self.first)

    @property
    def weights(self) -> tuple[float, ...]:
        """Return the weight of a trial of each stratum: its probability divided by its part of the drawn trials."""
        return tuple(share * TOTAL / drawn for share, drawn in zip(self.share, self.drawn, strict=True))

    def stratum(self, seed: int, trial: int) -> int:
        """Return the stratum of a trial, drawn by the seed and the trial's number."""
        place = int(generator(f"{seed}/strata/{trial}").integers(TOTAL))
        return int(np.searchsorted(list(accumulate(self.drawn)), place, side="right"))

    def ends(self, stratum: int) -> tuple[int, int]:
        """Return the fewest and the most hazards that flip in a stratum."""
        following = self.first[stratum + 1 : stratum + 2]
        return self.first[stratum], following[0] - 1 if following else self.n_hazards


def _listed(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"not a list: {str(value)[:40]}")  # noqa: TRY004 - records raise ValueError alone
    return value


def _owner(value: Any) -> tuple[str, str]:
    pair = tuple(_listed(value))
    if len(pair) != 2 or not all(
        isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable() for name in pair
    ):
        raise ValueError("an owner is a layer and a kind of parameter, both printable")
    return pair[0], pair[1]


def _rows(value: Any, names: Sequence[str]) -> tuple[PointRow, ...]:
    rows = tuple(tuple(_listed(row)) for row in _listed(value))
    for row in rows:
        if len(row) != len(names) or not all(type(entry) is int and 0 <= entry <= LARGEST for entry in row):
            raise ValueError(f"not a row of {', '.join(names)}: {str(row)[:100]}")
    return rows
