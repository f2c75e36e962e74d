"""Rows of values that have one row per image: selected, compared, and gathered from batches."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from faultbench.trials.staging.channel_splicing import same_bits
from faultbench.trials.staging.staged_network import Values

LOGITS = ""
"""Name of the logits among the values. No node of a graph has this name."""

N_PROBED_ROWS = 8
"""Rows that are compared first. If none of them is equal, comparing the others would seldom pay."""

MIN_ROWS = 16
"""Least number of rows that run apart from the others. Kernels for fewer rows often add up in another order, and a
golden run of few rows could show the same bits by chance."""


def rows_at(value: Tensor, index: Tensor) -> Tensor:
    """Return the rows of a value at these indices, in the value's memory layout."""
    # Selecting gives channels first; the same memory seen with channels last stays as it is.
    is_last = value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
    rows = (value.movedim(1, -1) if is_last else value).index_select(0, index.to(value.device))
    return rows.movedim(-1, 1) if is_last else rows


def have_rows(values: Values, n_rows: int) -> bool:
    """Return whether all these values are float32 tensors with this number of rows."""
    return all(
        isinstance(v, Tensor) and v.dtype == torch.float32 and v.dim() and len(v) == n_rows for v in values.values()
    )


def equal_rows(values: Values, others: Values) -> Tensor:
    """Return for each row whether all these values have the bits of the others there.

    All are float32 with one row per image. If none of the first rows is equal, no row counts as equal.
    """
    pairs = [(value, others[name]) for name, value in values.items() if value is not others[name]]
    n_rows = len(next(iter(values.values())))
    first = _are_equal([(a[:N_PROBED_ROWS], b[:N_PROBED_ROWS]) for a, b in pairs], min(n_rows, N_PROBED_ROWS))
    if not bool(first.any()):
        return torch.zeros(n_rows, dtype=torch.bool, device=first.device)
    return _are_equal(pairs, n_rows)


def rows_to_run(wanted: Tensor, n_parts: int) -> tuple[Tensor, Tensor]:
    """Return the rows to run so that all wanted ones are run, and the other rows, both ascending.

    Rows that are not wanted fill their number up to a multiple of a part of all, so that few sizes occur.
    """
    order = torch.argsort(wanted.int(), descending=True, stable=True)
    size = _part_size(len(wanted), n_parts)
    n_run = min(len(wanted), -(-int(wanted.sum()) // size) * size)
    return order[:n_run].sort().values, order[n_run:].sort().values


def separate_sizes(n_rows: int, n_parts: int) -> set[int]:
    """Return the numbers of rows that `rows_to_run` may give to either side, without those below MIN_ROWS."""
    size = _part_size(n_rows, n_parts)
    run = range(size, n_rows, size)
    return {n for n in (*run, *(n_rows - n for n in run)) if n >= MIN_ROWS}


def _part_size(n_rows: int, n_parts: int) -> int:
    return max(MIN_ROWS, -(-n_rows // n_parts))


def _are_equal(pairs: Sequence[tuple[Tensor, Tensor]], n_rows: int) -> Tensor:
    equal = torch.ones(n_rows, dtype=torch.bool, device=pairs[0][0].device if pairs else None)
    for a, b in pairs:
        differs = a.view(torch.int32) != b.view(torch.int32)
        by_channel = differs.movedim(1, -1) if differs.dim() == 4 else differs  # a copy less if channels lie last
        equal &= ~by_channel.flatten(1).any(dim=1)
    return equal


class RowSelection(Mapping[str, Any]):
    """Selected rows of values that all have one row per image. Each value is selected when first used."""

    def __init__(self, values: Values, rows: Tensor) -> None:
        self._values, self._rows = values, rows
        self._selected: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._selected:
            self._selected[name] = rows_at(self._values[name], self._rows)
        return self._selected[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class ValueRows(Mapping[str, Any]):
    """Kept values at some images, gathered from batches when first used.

    KeyError for a value that has no row per image.
    """

    def __init__(self, values: Sequence[Values], logits: Sequence[Tensor], rows: Tensor, batch_size: int) -> None:
        self._values, self._logits, self._batch_size = values, logits, batch_size
        self._rows = rows
        self._gathered: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._gathered:
            self._gathered[name] = self._gather(self._by_batch(name))
        return self._gathered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values[0])

    def __len__(self) -> int:
        return len(self._values[0])

    def equals(self, name: str, value: Any) -> bool:
        """Return whether these rows of a kept value have the bits of another value."""
        by_batch = self._by_batch(name)
        if not all(isinstance(part, Tensor) and part.dim() for part in (*by_batch, value)):
            return False
        if [len(part) for part in by_batch] != [len(logits) for logits in self._logits]:
            return False
        rows = self[name]
        return rows.dtype == value.dtype == torch.float32 and rows.shape == value.shape and same_bits(rows, value)

    def _by_batch(self, name: str) -> list[Any]:
        return list(self._logits) if name == LOGITS else [values[name] for values in self._values]

    def _gather(self, by_batch: Sequence[Tensor]) -> Tensor:
        rows = torch.cat([rows_at(by_batch[batch], index) for batch, index in self._places])
        return rows if self._back is None else rows_at(rows, self._back)

    @cached_property
    def _places(self) -> list[tuple[int, Tensor]]:
        """Return the batches that hold some of the rows, with the indices of these rows in the batch, ascending."""
        rows = self._rows if self._back is None else self._rows[self._ascending]
        batches, counts = torch.unique_consecutive(rows // self._batch_size, return_counts=True)
        return list(zip(batches.tolist(), torch.split(rows % self._batch_size, counts.tolist()), strict=True))

    @cached_property
    def _ascending(self) -> Tensor:
        return torch.argsort(self._rows)

    @cached_property
    def _back(self) -> Tensor | None:
        """Return the place of each row in ascending order, or None if the rows are already ascending."""
        if bool((self._rows[1:] >= self._rows[:-1]).all()):
            return None
        return torch.argsort(self._ascending)
