"""Which flips the trials of a cell held and how many of those trials failed, as files beside the journal.

All of it follows from cells, trial numbers and stored words, so that a run can count it again at any time; whoever
reads results has no networks, and finds the counts here. `attribution/<subject>….jsonl` holds one line a cell, with
a CRC-32 as in the journal. Files of shards, and of folders merged into one, lie side by side; a reader adds up those
that share no trial. What is damaged, or does not agree with the recorded trials, is left out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from faultbench.results.image_samples import accuracy
from faultbench.results.journal.journal import checked, line
from faultbench.results.journal.records import Golden, Trial
from faultbench.system.files.disk import replaced

FOLDER = "attribution"
"""In a results folder."""

FAILING_DROP = 0.05
"""A trial fails when its accuracy is at least so far below the golden accuracy, the drop that figures mark as critical.

Less would call the loss of an image or two a failure where a trial looks at a hundred.
"""

KEY = ("owner", "bit", "direction")
COUNTS = ("flips", "trials", "failed", "correct")
"""Columns of `FlipCounts.rows`: an index into owners, the bit, what it held before (0 or 1); then the flips there, the
trials with at least one of them, those of them that failed, and the accuracies of these trials together, in `PARTS`."""

PARTS = 10**6
"""Of an accuracy: counts are whole numbers, so that they add up to the same in any order."""

WHOLE = ("*", "*")
"""The last owner: all layers and kinds together, where a hundred trials tell what they do not tell of each layer."""

Outcomes = Mapping[int, bool]
"""Trial number → whether the trial failed."""


@dataclass(frozen=True, eq=False)
class FlipCounts:
    """What some trials of a cell held; rows is int64 [n, 7], in rising order of its first three columns.

    owners are (layer or site, kind of parameter), and `WHOLE`. Keys without a flip have no row.
    """

    cell: str
    trials: frozenset[int]
    n_failed: int
    n_right: int
    owners: tuple[tuple[str, str], ...]
    rows: NDArray[np.int64]

    def to_record(self) -> dict[str, Any]:
        """As JSON holds it."""
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
    def from_record(cls, record: Any) -> Self:
        """What `to_record` gave; ValueError for anything else, and where another drop was a failure."""
        try:
            if record["drop"] != FAILING_DROP:
                raise ValueError(f"counted with {record['drop']} as a failure")
            trials = frozenset(number for low, high in record["trials"] for number in range(low, high + 1))
            owners = tuple((str(layer), str(kind)) for layer, kind in record["owners"])
            rows = np.array(record["rows"], dtype=np.int64).reshape(-1, len(KEY) + len(COUNTS))
            return cls(record["cell"], trials, record["n_failed"], record["n_right"], owners, rows)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"no counts of flips: {error!r}") from error

    def plus(self, other: Self) -> Self:
        """The counts of both; ValueError unless they are of one cell and share no trial."""
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
        """Whether all its trials are recorded, and as many of them failed as it says."""
        return self.trials <= outcomes.keys() and sum(outcomes[trial] for trial in self.trials) == self.n_failed


def fails(trial: Trial, golden: Golden) -> bool:
    """Whether a trial lost at least `FAILING_DROP`; the images that it looked at say how accurate it was."""
    # 0.98 - 0.93 is more than 0.05 by the last bit.
    return round(golden.n_correct / golden.n_images - accuracy(trial, golden), 12) >= FAILING_DROP


def load(folder: Path, subjects: Iterable[str], outcomes: Mapping[str, Outcomes]) -> dict[str, FlipCounts]:
    """Cell → the counts of as many of its trials as the files of these subjects hold, no trial twice."""
    found: dict[str, list[FlipCounts]] = {}
    for counts in _all(folder, subjects):
        if counts.agrees(outcomes.get(counts.cell, {})):
            found.setdefault(counts.cell, []).append(counts)
    return {cell: _together(parts) for cell, parts in found.items()}


def save(folder: Path, name: str, cells: Iterable[FlipCounts]) -> None:
    """Write the counts of cells as the file of this name, whole or not at all; EngineError when the disk refuses."""
    with replaced(folder / f"{name}.jsonl") as path:
        path.write_bytes(b"".join(line(counts.to_record()) for counts in cells))


def _all(folder: Path, subjects: Iterable[str]) -> Iterator[FlipCounts]:
    wanted = set(subjects)
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.partition(".")[0] in wanted:
            for text in path.read_bytes().splitlines():
                try:
                    yield _read(text)
                except (ValueError, RecursionError):
                    continue


def _read(whole: bytes) -> FlipCounts:
    """What a line of a file holds, without its newline; ValueError when it is torn, altered or of another kind.

    Rows are thousands of numbers, which take four times as long as lists of lists.
    """
    head, found, rest = checked(whole).partition(b'"rows":[[')
    if not found:
        return FlipCounts.from_record(json.loads(head))
    text, _, tail = rest.partition(b"]]")
    numbers = np.fromstring(text.replace(b"],[", b","), dtype=np.int64, sep=",")
    n_columns = len(KEY) + len(COUNTS)
    # Rows of other lengths would shift the columns of those behind them.
    if len(numbers) != n_columns * (text.count(b"],[") + 1):
        raise ValueError(f"not all rows are {n_columns} whole numbers")
    counts = FlipCounts.from_record(json.loads(head + b'"rows":[]' + tail))
    return replace(counts, rows=numbers.reshape(-1, n_columns))


def _together(parts: list[FlipCounts]) -> FlipCounts:
    """The largest part, and of the others in falling size those that share no trial with what is taken."""
    first, *others = sorted(parts, key=lambda part: -len(part.trials))
    for part in others:
        if part.owners == first.owners and not part.trials & first.trials:
            first = first.plus(part)
    return first


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of every unbroken row of numbers."""
    ranked = sorted(numbers)
    starts = [0, *(place for place, (low, high) in enumerate(pairwise(ranked), 1) if high > low + 1)]
    for start, stop in pairwise([*starts, len(ranked)]):
        yield ranked[start], ranked[stop - 1]
