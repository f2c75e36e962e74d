"""Many trials in columns, which are read, counted and handed on in a fraction of the time of as many objects."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.records import Trial
from faultbench.results.journal.trial_rules import TEXTS, sound_counts

ABSENT = -1
"""In a column of counts, of a trial that leaves it None."""

_FIELDS = Trial.__match_args__
_NEEDED = _FIELDS[: _FIELDS.index("flips_digest") + 1]

Conflict = tuple[Trial, Trial, Path]
"""A trial, another one of its cell and number with different outcomes, and the file that holds the latter."""


class TrialColumns(Sequence[Trial]):
    """A sequence of sound trials that holds a column a field; whoever asks for one is made it."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = columns

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Self:
        """These trials."""
        given = [*trials]
        return cls({name: _taken(given, name) for name in _FIELDS})

    @classmethod
    def from_records(cls, records: Sequence[Any]) -> Self:
        """The trials that `Trial.from_record` gives, in a fraction of the time.

        It is for sound records as `to_record` writes them, with the same fields: for any others, whatever they hold,
        there is a ValueError that does not say what is wrong with which.
        """
        if {*map(type, records)} != {dict}:
            raise ValueError("not all are records")
        first = records[0].keys()
        if not {*_NEEDED} <= first - {"kind"} <= {*_FIELDS} or any(one.keys() != first for one in records):
            raise ValueError("not all records have the fields of a trial, and the same")
        columns = {name: [*map(itemgetter(name), records)] for name in first}
        if any(kind != Trial.KIND for kind in columns.pop("kind")):
            raise ValueError("not all records are trials")
        counts = sound_counts(columns)
        if counts is None:
            raise ValueError("not all records are sound trials")
        absent = np.full(len(records), ABSENT, dtype=np.int64)
        texts = {name: _array(name, columns[name]) for name in TEXTS}
        return cls({name: texts[name] if name in TEXTS else counts.get(name, absent) for name in _FIELDS})

    @classmethod
    def joined(cls, parts: Sequence["TrialColumns"]) -> Self:
        """All trials of the parts, one part after the other."""
        given = parts or [cls.of([])]
        return cls({name: np.concatenate([part.column(name) for part in given]) for name in _FIELDS})

    def column(self, name: str) -> NDArray[Any]:
        """A field of every trial: int64, `ABSENT` where it is None, or texts as objects."""
        return self._columns[name]

    def where(self, chosen: NDArray[Any] | slice) -> Self:
        """The trials at these places, or those that are true."""
        return type(self)({name: column[chosen] for name, column in self._columns.items()})

    def same_as(self, other: "TrialColumns") -> NDArray[np.bool_]:
        """Which trials are equal to the other's at their place; there must be as many."""
        same: NDArray[np.bool_] = np.logical_and.reduce(
            [self.column(name) == other.column(name) for name in _FIELDS], dtype=bool
        )
        return same

    def __len__(self) -> int:
        return len(self._columns["trial"])

    @overload
    def __getitem__(self, place: int) -> Trial: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Trial | Self:
        if isinstance(place, slice):
            return self.where(place)
        at = range(len(self))[place]
        return next(iter(self.where(slice(at, at + 1))))

    def __iter__(self) -> Iterator[Trial]:
        values = (self._said(name) for name in _FIELDS)
        for row in zip(*values, strict=True):
            made = object.__new__(Trial)  # they were sound when they were put in
            vars(made).update(zip(_FIELDS, row, strict=True))
            yield made

    def _said(self, name: str) -> list[Any]:
        values: list[Any] = self._columns[name].tolist()
        return values if name in _NEEDED else [None if value == ABSENT else value for value in values]


class TrialTable(Mapping[tuple[str, int], Trial]):
    """Trials by cell and number, each once; those of a cell are at hand as columns, in the order of their numbers."""

    def __init__(self, cells: Mapping[str, TrialColumns] | None = None) -> None:
        self._cells = cells or {}

    @classmethod
    def merged(cls, parts: Sequence[tuple[Path, TrialColumns]]) -> Self | Conflict:
        """What parts of files hold together, equal trials once; or the first two found that differ."""
        found = TrialColumns.joined([part for _, part in parts])
        cells = found.column("cell").tolist()
        codes = {cell: code for code, cell in enumerate(dict.fromkeys(cells))}
        code, number = np.array([codes[cell] for cell in cells], dtype=np.int64), found.column("trial")
        order = np.lexsort((number, code))
        is_first = (np.diff(code[order], prepend=-1) != 0) | (np.diff(number[order], prepend=-1) != 0)
        firsts = order[is_first]
        again = np.flatnonzero(~is_first)
        if len(again):
            earlier, later = firsts[np.cumsum(is_first)[again] - 1], order[again]
            differ = ~found.where(earlier).same_as(found.where(later))
            if differ.any():
                # Whichever is read first.
                at = np.flatnonzero(differ)[np.argmin(later[differ])]
                ends = [*accumulate(len(part) for _, part in parts)]
                path = parts[int(np.searchsorted(ends, later[at], side="right"))][0]
                return found[int(earlier[at])], found[int(later[at])], path
        sorted_trials = found.where(firsts)
        ends = np.searchsorted(code[firsts], np.arange(len(codes) + 1)).tolist()
        return cls(
            {
                cell: sorted_trials.where(slice(start, stop))
                for cell, (start, stop) in zip(codes, pairwise(ends), strict=True)
            }
        )

    def of_cell(self, cell: str) -> TrialColumns:
        """The trials of a cell, in the order of their numbers; none of an unknown one."""
        return self._cells[cell] if cell in self._cells else TrialColumns.of([])

    def __len__(self) -> int:
        return sum(map(len, self._cells.values()))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._trials)

    def __getitem__(self, name: tuple[str, int]) -> Trial:
        return self._trials[name]

    @cached_property
    def _trials(self) -> dict[tuple[str, int], Trial]:
        return {(trial.cell, trial.trial): trial for of_cell in self._cells.values() for trial in of_cell}


def counts_of(trials: Sequence[Trial], name: str) -> NDArray[np.int64]:
    """A count of each trial, `ABSENT` where it is None."""
    return trials.column(name) if isinstance(trials, TrialColumns) else _taken(trials, name)


def _taken(trials: Sequence[Trial], name: str) -> NDArray[Any]:
    return _array(name, [ABSENT if value is None else value for value in map(attrgetter(name), trials)])


def _array(name: str, values: Sequence[Any]) -> NDArray[Any]:
    return np.array(values, dtype=object if name in TEXTS else np.int64)
