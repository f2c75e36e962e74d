"""Hazard strata as a journal holds them: which bits do harm, and how a cell's trials are shared out among strata.

A *hazard* is a bit of a kind (layer, kind of parameter, bit of the word, what it holds) of which some flips turned
images in a pilot. The trials of a cell are stratified by K, how many hazards flip: stratum j holds the fault maps with
first[j] ≤ K < first[j + 1], the last one all that remain, the first one K = 0 with a flip elsewhere. A memory without
any flip is in none: it is the golden run, and needs no trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np

from faultbench.results.journal.records import Recorded, check_counts, check_text
from faultbench.system.random_streams import generator

TOTAL = 2**16
"""Trials are drawn from strata in whole shares of so many."""

Row = tuple[int, ...]

ROW = ("owner", "bit", "held", "n_bits", "n_flips", "n_failing", "n_images", "n_turned")
"""Of a kind: index into owners, bit, what it holds, its bits in memory; flips probed, those of them that turned an
image, images that each of them was tried on, together, and those that were turned."""

POINT = ("n_hazards", "n_others", "n_probes", "n_images", "turned", "turned_squared", "due")
"""Of probes with so many hazards and other bits flipped: their number, the images of each, sums over probes."""


@dataclass(frozen=True)
class Hazards(Recorded):
    """What the pilot of a subject found: a row a kind of bit, and how harm grows with the number of hazards hit.

    A kind is hazardous where n_turned / n_images is at least threshold_pct per cent.
    """

    KIND: ClassVar[str] = "hazards"
    subject: str
    owners: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    points: tuple[Row, ...]
    threshold_pct: int
    n_image_runs: int

    def __post_init__(self) -> None:
        check_text(self, "subject")
        check_counts(self, "threshold_pct", "n_image_runs")
        object.__setattr__(self, "owners", tuple((str(layer), str(kind)) for layer, kind in _listed(self.owners)))
        object.__setattr__(self, "rows", _rows(self.rows, ROW))
        object.__setattr__(self, "points", _rows(self.points, POINT))
        if any(owner >= len(self.owners) or not n_images for owner, *_, n_images, _ in self.rows):
            raise ValueError("a kind of bit needs an owner and images that it was probed on")

    @property
    def hazardous(self) -> tuple[Row, ...]:
        """The rows of kinds that do harm."""
        return tuple(row for row in self.rows if 100 * row[-1] >= self.threshold_pct * row[-2])

    @property
    def n_hazards(self) -> int:
        """Bits of these kinds."""
        return sum(row[ROW.index("n_bits")] for row in self.hazardous)

    @property
    def n_bits(self) -> int:
        """Bits that faults can hit."""
        return sum(row[ROW.index("n_bits")] for row in self.rows)


@dataclass(frozen=True)
class Strata(Recorded):
    """How the trials of a cell are drawn; without strata they are plain ones.

    share is the probability of each stratum, exactly; drawn, of `TOTAL`, how often a trial is drawn from it. lost and
    due are what fraction of the images is expected to be turned there, and not to be finite. gain is how many times
    as many plain trials are expected to give the same interval, variance_gain the same variance.
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
        self._check_values()

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
        """Whether there are strata; plain trials otherwise."""
        return bool(self.first)

    @property
    def weights(self) -> tuple[float, ...]:
        """What a trial of each stratum counts for: its probability over how often it is drawn."""
        return tuple(share * TOTAL / drawn for share, drawn in zip(self.share, self.drawn, strict=True))

    def stratum(self, seed: int, trial: int) -> int:
        """The stratum of a trial, drawn by the seed and its number."""
        place = int(generator(f"{seed}/strata/{trial}").integers(TOTAL))
        return int(np.searchsorted(list(accumulate(self.drawn)), place, side="right"))

    def ends(self, stratum: int) -> tuple[int, int]:
        """The fewest and the most hazards that flip there."""
        following = self.first[stratum + 1 : stratum + 2]
        return self.first[stratum], following[0] - 1 if following else self.n_hazards


def _listed(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"not a list: {str(value)[:40]}")  # noqa: TRY004 - records raise ValueError alone
    return value


def _rows(value: Any, names: Sequence[str]) -> tuple[Row, ...]:
    rows = tuple(tuple(_listed(row)) for row in _listed(value))
    for row in rows:
        if len(row) != len(names) or not all(type(entry) is int and entry >= 0 for entry in row):
            raise ValueError(f"not a row of {', '.join(names)}: {row}")
    return rows
