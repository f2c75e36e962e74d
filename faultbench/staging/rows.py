"""Rows of values that are kept in batches: what some of the images gave."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from faultbench.staging.splicing import same_bits
from faultbench.staging.steps import Values

LOGITS = ""
"""The name of the logits among the values: no node of a graph is called so."""


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
        is_last = of_batches[0].dim() == 4 and of_batches[0].is_contiguous(memory_format=torch.channels_last)
        # Selecting gives channels first; the same memory seen with channels last stays as it is.
        seen = [of.movedim(1, -1) for of in of_batches] if is_last else of_batches
        found = torch.cat([seen[batch].index_select(0, rows.to(seen[batch].device)) for batch, rows in self._places])
        return found.movedim(-1, 1) if is_last else found

    @cached_property
    def _places(self) -> list[tuple[int, Tensor]]:
        """The batches that hold some of the rows, and which of theirs these are."""
        batches, counts = torch.unique_consecutive(self._rows // self._batch, return_counts=True)
        return list(zip(batches.tolist(), torch.split(self._rows % self._batch, counts.tolist()), strict=True))
