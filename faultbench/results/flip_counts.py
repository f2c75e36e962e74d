"""Counts of the flips that the trials of a cell held and of the trials that failed, in files beside the journal.

The counts follow from cells, trial numbers and stored words, so a run can count again at any time. Readers of results
have no networks, so the counts are kept here. `attribution/<subject>….jsonl` holds a line per cell, with a CRC-32 as in
the journal. Files of shards and of merged folders lie side by side; a reader adds up those that share no trial. Lines
that are damaged or contradict the recorded trials are left out.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from faultbench.results.image_samples import trial_accuracy
from faultbench.results.journal.lines import checked_json, line
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import N_BITS
from faultbench.results.journal.trial_rules import LARGEST
from faultbench.results.recorded_texts import Line, one_printable_line
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced
from faultbench.system.files.regular_files import read_regular

FOLDER = "attribution"
"""Name of the folder inside a results folder."""

FAILING_DROP = 0.05
"""Drop of accuracy below the golden accuracy from which a trial fails; figures mark it as critical.

With a smaller drop, the loss of an image or two would be a failure of a trial that looks at a hundred.
"""

KEY = ("owner", "bit", "direction")
COUNTS = ("flips", "trials", "failed", "correct")
"""Columns of `FlipCounts.rows`. KEY: an index into owners, the bit, what it held before the flip (0 or 1). COUNTS: the
flips of this key, the trials with at least one, the failed trials of these, and the sum of their accuracies in
`ACCURACY_UNIT`."""

ACCURACY_UNIT = 10**6
"""Units of an accuracy of 1: sums of whole numbers do not depend on their order."""

WHOLE_MEMORY = ("*", "*")
"""Last owner: all layers and kinds together, where a hundred trials can decide what they cannot decide per layer."""

MOST_FLIPS = 2**53

MAX_BYTES = 2**31
"""Largest size of a file; a file of a hundred cells and a hundred layers has some megabytes."""

Outcomes = Mapping[int, bool]
"""Trial number → whether the trial failed."""

_Whole = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
_Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=500), AfterValidator(one_printable_line)]


class CountsRecord(BaseModel):
    """Record of a cell's counts, as a line of a file holds it."""

    model_config = ConfigDict(extra="forbid")

    cell: Line
    drop: Annotated[float, Field(strict=True)]
    trials: list[tuple[_Whole, _Whole]]
    n_failed: _Whole
    n_right: _Whole
    owners: Annotated[tuple[tuple[_Name, _Name], ...], Field(max_length=1_000_000)]
    rows: list[tuple[_Whole, _Whole, _Whole, _Whole, _Whole, _Whole, _Whole]]

    @property
    def n_trials(self) -> int:
        """Return how many numbers the ranges of trials hold."""
        return sum(high - low + 1 for low, high in self.trials)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        ends = [end for pair in self.trials for end in pair]
        if any(low > high for low, high in self.trials) or any(
            following <= high for (_, high), (following, _) in pairwise(self.trials)
        ):
            raise ValueError(f"ranges of trials that do not rise: {ends[:10]}")
        return self


def _checked_record(record: Any) -> tuple[CountsRecord, NDArray[np.int64]]:
    try:
        line = CountsRecord.model_validate(record)
        return line, np.array(line.rows, dtype=np.int64).reshape(-1, len(KEY) + len(COUNTS))
    except (ValidationError, TypeError, OverflowError) as error:
        raise ValueError(f"no counts of flips: {type(error).__name__}") from error


@dataclass(frozen=True, eq=False)
class FlipCounts:
    """Counts of the flips in some trials of a cell; rows is int64 [n, 7], in rising order of its first three columns.

    owners are pairs of layer or site and kind of parameter, then `WHOLE_MEMORY`. Keys without a flip have no row.
    """

    cell: str
    trials: frozenset[int]
    n_failed: int
    n_right: int
    owners: tuple[tuple[str, str], ...]
    rows: NDArray[np.int64]

    def to_record(self) -> dict[str, Any]:
        """Return the counts as JSON holds them."""
        return {
            "cell": self.cell,
            "drop": FAILING_DROP,
            "trials": list(_ranges(self.trials)),
            "n_failed": self.n_failed,
            "n_right": self.n_right,
            "owners": [list(owner) for owner in self.owners],
            "rows": self.rows.tolist(),
        }

    @classmethod
    def from_record(cls, record: Any, known: Collection[int] | None = None) -> Self:
        """Return the counts that `to_record` gave; ValueError for anything else, and for another `FAILING_DROP`.

        known are the recorded trials of the cell. A record of more trials is a ValueError, so that no longer range of
        numbers is expanded.
        """
        line, rows = _checked_record(record)
        if line.drop != FAILING_DROP:
            raise ValueError(f"counted with {line.drop} as a failure")
        if known is not None and line.n_trials > len(known):
            raise ValueError(f"counts of {line.n_trials:,} trials, where {len(known):,} are recorded")
        trials = frozenset(number for low, high in line.trials for number in range(low, high + 1))
        counts = cls(line.cell, trials, line.n_failed, line.n_right, line.owners, rows)
        counts.check()
        return counts

    def check(self) -> None:
        """Raise ValueError for counts that no trials can give."""
        n_trials, columns = len(self.trials), self.rows.T
        if not 0 <= self.n_failed <= n_trials or not 0 <= self.n_right <= ACCURACY_UNIT * n_trials:
            raise ValueError(f"cell {self.cell}: more failed or more right ones than trials")
        owner, bit, held, flips, n_with, failed_with, right_with = columns
        without = (n_trials - n_with, self.n_failed - failed_with, self.n_right - right_with)
        is_sound = (
            (columns >= 0).all(axis=0)
            & (owner < len(self.owners))
            & (bit < N_BITS)
            & (held <= 1)
            & (n_with >= 1)
            & (flips >= n_with)
            & (flips <= MOST_FLIPS)
            & _possible(n_with, failed_with, right_with)
            & _possible(*without)
        )
        if not is_sound.all() or (np.diff((owner * N_BITS + bit) * 2 + held) <= 0).any():
            raise ValueError(f"cell {self.cell}: counts of flips that no trials can give")

    def plus(self, other: Self) -> Self:
        """Return the counts of both; ValueError unless they are of one cell and share no trial."""
        if self.cell != other.cell or self.owners != other.owners or self.trials & other.trials:
            raise ValueError(f"counts of cell {self.cell} cannot be added to others of its trials")
        keys, place = np.unique(np.concatenate([self.rows, other.rows])[:, : len(KEY)], axis=0, return_inverse=True)
        counts = np.zeros((len(keys), len(COUNTS)), dtype=np.int64)
        np.add.at(counts, place.ravel(), np.concatenate([self.rows, other.rows])[:, len(KEY) :])
        return type(self)(
            self.cell,
            self.trials | other.trials,
            self.n_failed + other.n_failed,
            self.n_right + other.n_right,
            self.owners,
            np.hstack([keys, counts]),
        )

    def agrees(self, outcomes: Outcomes) -> bool:
        """Return whether all counted trials are recorded, and n_failed of them failed."""
        return self.trials <= outcomes.keys() and sum(outcomes[trial] for trial in self.trials) == self.n_failed


def _possible(n_trials: NDArray[Any], n_failed: NDArray[Any], n_right: NDArray[Any]) -> NDArray[np.bool_]:
    """Return, element by element, whether n_trials can have n_failed failures and n_right as sum of accuracies."""
    possible: NDArray[np.bool_] = (n_failed >= 0) & (n_failed <= n_trials) & (n_right >= 0)
    return possible & (n_right <= ACCURACY_UNIT * n_trials)


def has_failed(trial: Trial, golden: Golden) -> bool:
    """Return whether a trial lost at least `FAILING_DROP` of the golden accuracy."""
    # 0.98 - 0.93 is more than 0.05 by the last bit.
    return round(golden.n_correct / golden.n_images - trial_accuracy(trial, golden), 12) >= FAILING_DROP


def load_counts(folder: Path, subjects: Iterable[str], outcomes: Mapping[str, Outcomes]) -> dict[str, FlipCounts]:
    """Return cell → the counts of as many of its trials as the files of these subjects hold, no trial twice."""
    of_cells: dict[str, list[FlipCounts]] = {}
    for counts in _read_lines(folder, subjects, outcomes):
        if counts is not None and counts.agrees(outcomes.get(counts.cell, {})):
            of_cells.setdefault(counts.cell, []).append(counts)
    return {cell: _sum(parts) for cell, parts in of_cells.items()}


def save_counts(folder: Path, name: str, cells: Iterable[FlipCounts]) -> None:
    """Write the counts of cells as the file of this name, whole or not at all; EngineError when the disk refuses."""
    with replaced(folder / f"{name}.jsonl") as path:
        path.write_bytes(b"".join(line(counts.to_record()) for counts in cells))


def n_damaged(folder: Path, subjects: Iterable[str], trials: Mapping[str, Collection[int]]) -> int:
    """Return how many lines of the files of these subjects are torn, altered or hold counts that no trials can give.

    trials are the numbers of the recorded trials, by cell.
    """
    return sum(counts is None for counts in _read_lines(folder, subjects, trials))


def _read_lines(
    folder: Path, subjects: Iterable[str], trials: Mapping[str, Collection[int]]
) -> Iterator[FlipCounts | None]:
    """Yield the counts of each line; None for a damaged line."""
    wanted = set(subjects)
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.partition(".")[0] in wanted:
            try:
                data = read_regular(path, MAX_BYTES)
            except (OSError, ValueError) as error:
                raise FaultbenchError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
            for text in data.split(b"\n"):
                if text:
                    try:
                        yield _read_line(text, trials)
                    except (ValueError, RecursionError):
                        yield None


def _read_line(whole: bytes, trials: Mapping[str, Collection[int]]) -> FlipCounts:
    """Return the counts of a line without its newline; ValueError if it is torn, altered or of another kind.

    Rows are parsed apart from the rest: as lists of lists, thousands of numbers take four times as long.
    """
    head, separator, rest = checked_json(whole).partition(b'"rows":[[')
    if not separator:
        record = json.loads(head)
        return FlipCounts.from_record(record, _known(record, trials))
    text, _, tail = rest.partition(b"]]")
    rows = _parse_rows(text)
    record = json.loads(head + b'"rows":[]' + tail)
    counts = replace(FlipCounts.from_record(record, _known(record, trials)), rows=rows)
    counts.check()
    return counts


def _parse_rows(text: bytes) -> NDArray[np.int64]:
    """Return the rows of a record, without the brackets around them; ValueError unless all are whole numbers."""
    if text.translate(None, b"0123456789,[]"):
        raise ValueError("not all rows are whole numbers")
    numbers = np.fromstring(text.replace(b"],[", b","), dtype=np.int64, sep=",")
    n_columns = len(KEY) + len(COUNTS)
    # A row of another length would shift the columns of the rows after it.
    if len(numbers) != n_columns * (text.count(b"],[") + 1):
        raise ValueError(f"not all rows are {n_columns} whole numbers")
    return numbers.reshape(-1, n_columns)


def _known(record: Any, trials: Mapping[str, Collection[int]]) -> Collection[int]:
    cell = record.get("cell") if isinstance(record, dict) else None
    return trials.get(cell, ()) if isinstance(cell, str) else ()


def _sum(parts: list[FlipCounts]) -> FlipCounts:
    """Return the sum of the largest part and of the others, by falling size, that share no trial with it."""
    first, *others = sorted(parts, key=lambda part: -len(part.trials))
    for part in others:
        if part.owners == first.owners and not part.trials & first.trials:
            first = first.plus(part)
    return first


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of every run of consecutive numbers."""
    ranked = sorted(numbers)
    starts = [0, *(place for place, (low, high) in enumerate(pairwise(ranked), 1) if high > low + 1)]
    for start, stop in pairwise([*starts, len(ranked)]):
        yield ranked[start], ranked[stop - 1]
