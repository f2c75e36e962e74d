"""Trials in columns: reading, counting and passing them takes a fraction of the time of as many objects."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.records import Trial
from faultbench.results.journal.trial_rules import ABSENT, TEXTS, sound_counts

_FIELDS = Trial.__match_args__
_NEEDED = _FIELDS[: _FIELDS.index("flips_digest") + 1]

Conflict = tuple[Trial, Trial, Path]
"""Trial, another trial of the same cell and number with different outcomes, and the file that holds the latter."""


def _values_by_name(records: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the values of each field, and the kinds; ValueError unless all records have the same fields of a trial."""
    if {*map(type, records)} != {dict}:
        raise ValueError("not all are records")
    first = records[0].keys()
    if not {*_NEEDED} <= first - {"kind"} <= {*_FIELDS} or any(record.keys() != first for record in records):
        raise ValueError("not all records have the fields of a trial, and the same")
    return {name: [*map(itemgetter(name), records)] for name in first}


class TrialColumns(Sequence[Trial]):
    """Sequence of valid trials that holds a column per field; a `Trial` is made when it is asked for."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = columns

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Self:
        """Return these trials as columns."""
        listed = [*trials]
        return cls({name: _column_of(listed, name) for name in _FIELDS})

    @classmethod
    def from_records(cls, records: Sequence[Any]) -> Self:
        """Return the trials that `Trial.from_record` gives, in a fraction of the time.

        The records must be valid, as `to_record` writes them, and have the same fields. Otherwise there is a ValueError
        that does not name the record.
        """
        columns = _values_by_name(records)
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
        """Return all trials of the parts, one part after the other."""
        listed = parts or [cls.of([])]
        return cls({name: np.concatenate([part.column(name) for part in listed]) for name in _FIELDS})

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of every trial: int64, `ABSENT` for None, or texts as objects."""
        return self._columns[name]

    def where(self, chosen: NDArray[Any] | slice) -> Self:
        """Return the trials at these places, or those with a true flag."""
        return type(self)({name: column[chosen] for name, column in self._columns.items()})

    def same_as(self, other: "TrialColumns") -> NDArray[np.bool_]:
        """Return which trials equal the trial of other at their place; both must have the same length."""
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
        values = (self._values(name) for name in _FIELDS)
        for row in zip(*values, strict=True):
            trial = object.__new__(Trial)  # without checks: they passed when the columns were made
            vars(trial).update(zip(_FIELDS, row, strict=True))
            yield trial

    def _values(self, name: str) -> list[Any]:
        values: list[Any] = self._columns[name].tolist()
        return values if name in _NEEDED else [None if value == ABSENT else value for value in values]


class TrialTable(Mapping[tuple[str, int], Trial]):
    """Trials by cell and number, each once; the trials of a cell are columns, in the order of their numbers."""

    def __init__(self, cells: Mapping[str, TrialColumns] | None = None) -> None:
        self._cells = cells or {}

    @classmethod
    def merged(cls, parts: Sequence[tuple[Path, TrialColumns]]) -> Self | Conflict:
        """Return the trials of all parts, equal ones once; or the first conflict."""
        joined = TrialColumns.joined([part for _, part in parts])
        cells = joined.column("cell").tolist()
        codes = {cell: code for code, cell in enumerate(dict.fromkeys(cells))}
        code, number = np.array([codes[cell] for cell in cells], dtype=np.int64), joined.column("trial")
        order = np.lexsort((number, code))
        is_first = (np.diff(code[order], prepend=-1) != 0) | (np.diff(number[order], prepend=-1) != 0)
        firsts = order[is_first]
        repeated = np.flatnonzero(~is_first)
        if len(repeated):
            earlier, later = firsts[np.cumsum(is_first)[repeated] - 1], order[repeated]
            differ = ~joined.where(earlier).same_as(joined.where(later))
            if differ.any():
                # The first conflict in the order of reading.
                at = np.flatnonzero(differ)[np.argmin(later[differ])]
                ends = [*accumulate(len(part) for _, part in parts)]
                path = parts[int(np.searchsorted(ends, later[at], side="right"))][0]
                return joined[int(earlier[at])], joined[int(later[at])], path
        sorted_trials = joined.where(firsts)
        ends = np.searchsorted(code[firsts], np.arange(len(codes) + 1)).tolist()
        return cls(
            {
                cell: sorted_trials.where(slice(start, stop))
                for cell, (start, stop) in zip(codes, pairwise(ends), strict=True)
            }
        )

    @property
    def cells(self) -> Collection[str]:
        """Return the cells that have trials."""
        return self._cells.keys()

    def of_cell(self, cell: str) -> TrialColumns:
        """Return the trials of a cell, in the order of their numbers; none for an unknown cell."""
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
    """Return a count of each trial, `ABSENT` for None."""
    return trials.column(name) if isinstance(trials, TrialColumns) else _column_of(trials, name)


def _column_of(trials: Sequence[Trial], name: str) -> NDArray[Any]:
    return _array(name, [ABSENT if value is None else value for value in map(attrgetter(name), trials)])


def _array(name: str, values: Sequence[Any]) -> NDArray[Any]:
    return np.array(values, dtype=object if name in TEXTS else np.int64)
