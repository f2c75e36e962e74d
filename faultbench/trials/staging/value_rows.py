"""Rows of values that are kept in batches: what some of the images gave."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from faultbench.trials.staging.channel_splicing import same_bits
from faultbench.trials.staging.staged_network import Values

LOGITS = ""
"""The name of the logits among the values: no node of a graph is called so."""

PROBED = 8
"""Rows that are compared first: where none of them is alike, comparing the others would seldom pay."""

LEAST = 16
"""Rows that run together apart from others, at least: kernels for fewer often add up in another order, and a trial
run of few rows could show the same bits by chance."""


def rows_at(value: Tensor, index: Tensor) -> Tensor:
    """Some rows of a value, lying in memory as it does."""
    # Selecting gives channels first; the same memory seen with channels last stays as it is.
    is_last = value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
    found = (value.movedim(1, -1) if is_last else value).index_select(0, index.to(value.device))
    return found.movedim(-1, 1) if is_last else found


def have_rows(values: Values, n_rows: int) -> bool:
    """Whether all these values are float32 tensors with so many rows."""
    return all(
        isinstance(v, Tensor) and v.dtype == torch.float32 and v.dim() and len(v) == n_rows for v in values.values()
    )


def alike(values: Values, others: Values) -> Tensor:
    """For each row whether all these values have the others' bits there; none is where none of the first is.

    Both are float32 with one row an image.
    """
    pairs = [(value, others[name]) for name, value in values.items() if value is not others[name]]
    n_rows = len(next(iter(values.values())))
    first = _alike([(a[:PROBED], b[:PROBED]) for a, b in pairs], min(n_rows, PROBED))
    return _alike(pairs, n_rows) if bool(first.any()) else torch.zeros(n_rows, dtype=torch.bool, device=first.device)


def together(wanted: Tensor, n_parts: int) -> tuple[Tensor, Tensor]:
    """The rows that are run to have those wanted, and the others, both ascending.

    Rows that are not wanted fill them up to a multiple of a part of all: the sizes met stay few.
    """
    order = torch.argsort(wanted.int(), descending=True, stable=True)
    size = _size(len(wanted), n_parts)
    n_run = min(len(wanted), -(-int(wanted.sum()) // size) * size)
    return order[:n_run].sort().values, order[n_run:].sort().values


def sizes_apart(n_rows: int, n_parts: int) -> set[int]:
    """How many rows `together` may give of so many, and how many it may leave, where neither are too few."""
    size = _size(n_rows, n_parts)
    run = range(size, n_rows, size)
    return {n for n in (*run, *(n_rows - n for n in run)) if n >= LEAST}


def _size(n_rows: int, n_parts: int) -> int:
    return max(LEAST, -(-n_rows // n_parts))


def _alike(pairs: Sequence[tuple[Tensor, Tensor]], n_rows: int) -> Tensor:
    same = torch.ones(n_rows, dtype=torch.bool, device=pairs[0][0].device if pairs else None)
    for a, b in pairs:
        differing = a.view(torch.int32) != b.view(torch.int32)
        seen = differing.movedim(1, -1) if differing.dim() == 4 else differing  # a copy less if channels lie last
        same &= ~seen.flatten(1).any(dim=1)
    return same


class Picked(Mapping[str, Any]):
    """Some rows of values, taken when first asked for; all of them have one row an image."""

    def __init__(self, values: Values, rows: Tensor) -> None:
        self._values, self._rows = values, rows
        self._taken: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._taken:
            self._taken[name] = rows_at(self._values[name], self._rows)
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Rows(Mapping[str, Any]):
    """Kept values at some images, put together when first asked for; KeyError for one that has no row an image."""

    def __init__(self, values: Sequence[Values], logits: Sequence[Tensor], rows: Tensor, batch: int) -> None:
        self._values, self._logits, self._batch = values, logits, batch
        self._rows = rows
        self._gathered: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._gathered:
            self._gathered[name] = self._gather([self._of(batch, name) for batch in range(len(self._logits))])
        return self._gathered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values[0])

    def __len__(self) -> int:
        return len(self._values[0])

    def is_alike(self, name: str, value: Any) -> bool:
        """Whether these rows are that value, bit for bit."""
        of_batches = [self._of(batch, name) for batch in range(len(self._logits))]
        if not all(isinstance(of, Tensor) and of.dim() for of in (*of_batches, value)):
            return False
        if [len(of) for of in of_batches] != [len(logits) for logits in self._logits]:
            return False
        rows = self[name]
        return rows.dtype == value.dtype == torch.float32 and rows.shape == value.shape and same_bits(rows, value)

    def _of(self, batch: int, name: str) -> Any:
        return self._logits[batch] if name == LOGITS else self._values[batch][name]

    def _gather(self, of_batches: Sequence[Tensor]) -> Tensor:
        found = torch.cat([rows_at(of_batches[batch], rows) for batch, rows in self._places])
        return found if self._back is None else rows_at(found, self._back)

    @cached_property
    def _places(self) -> list[tuple[int, Tensor]]:
        """The batches that hold some of the rows, and which of theirs these are, ascending."""
        rows = self._rows if self._back is None else self._rows[self._ascending]
        batches, counts = torch.unique_consecutive(rows // self._batch, return_counts=True)
        return list(zip(batches.tolist(), torch.split(rows % self._batch, counts.tolist()), strict=True))

    @cached_property
    def _ascending(self) -> Tensor:
        return torch.argsort(self._rows)

    @cached_property
    def _back(self) -> Tensor | None:
        """Where each row lies among the ascending ones; None where they are so."""
        if bool((self._rows[1:] >= self._rows[:-1]).all()):
            return None
        return torch.argsort(self._ascending)
