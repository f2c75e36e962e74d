"""Logits and kept values of a fault-free run, in batches that later runs begin from."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.system.devices import synchronize
from faultbench.trials.staging.image_batches import ImageBatch, decode_pixels
from faultbench.trials.staging.kept_values import start_steps
from faultbench.trials.staging.staged_network import StagedNetwork, Values
from faultbench.trials.staging.step_costs import storages
from faultbench.trials.staging.value_rows import (
    LOGITS,
    MIN_ROWS,
    RowSelection,
    ValueRows,
    have_rows,
    rows_at,
    separate_sizes,
)


class GoldenValues:
    """Fault-free run of a network over fixed batches of images; it keeps the values of these names.

    A run of some of the images begins at rows of the kept values. It uses only those values that a golden run of the
    same number of images has given bit for bit, since a kernel may round differently for another number.
    """

    def __init__(self, staged: StagedNetwork, images: Images, batch_size: int, kept: frozenset[str]) -> None:
        self.staged = staged
        self._images, self._batch_size, self._kept = images, batch_size, kept
        self._batches = images.batches(batch_size)
        self._start_steps = start_steps(staged.needed, kept)
        self._names = tuple(sorted(kept - {staged.input}))
        self._equal_apart: dict[int, frozenset[str]] = {}
        started = perf_counter()
        self._values, self.logits = self._run()
        synchronize(images.stored.device)
        self.seconds = perf_counter() - started
        self._row_names = {name for name, value in self._values[0].items() if have_rows({name: value}, self.n_rows)}

    @property
    def n_rows(self) -> int:
        """Return the number of images in the first batch, the largest one."""
        return len(self._batches[0])

    @property
    def kept_bytes(self) -> int:
        """Return the memory that the kept values take."""
        sizes: dict[int, int] = {}
        for values in self._values:
            for name in self._names:
                sizes |= storages(values[name])
        return sum(sizes.values())

    def all_batches(self) -> list[ImageBatch]:
        """Return the batches of all images."""
        runs = zip(self._batches, self._values, self.logits, strict=True)
        return [ImageBatch(images, self._kept, self._start_steps, values, logits) for images, values, logits in runs]

    def are_all(self, batches: Sequence[ImageBatch]) -> bool:
        """Return whether these batches are those of all images."""
        return batches[0].values is self._values[0]

    def batches_of(self, rows: Tensor) -> list[ImageBatch]:
        """Return batches of the images at these indices, ascending. No flip may be in memory."""
        return [self.batch_of(part) for part in torch.split(rows, self._batch_size)]

    def batch_of(self, rows: Tensor) -> ImageBatch:
        """Return one batch of the images at these indices. No flip may be in memory."""
        images, values = self._images.select(rows), self.rows_at(rows)
        if len(rows) not in self._equal_apart:
            self._equal_apart[len(rows)] = self._equal_names(images, values)
        names = self._equal_apart[len(rows)]
        logits = values[LOGITS] if LOGITS in names else None
        return ImageBatch(images, names, start_steps(self.staged.needed, names), values, logits)

    def rows_at(self, rows: Tensor) -> ValueRows:
        """Return the kept values and the logits of the images at these indices."""
        return ValueRows(self._values, self.logits, rows, self._batch_size)

    def part_of(self, batch: ImageBatch, rows: Tensor) -> ImageBatch:
        """Return some rows of a batch as a batch. Their number must be one that `equal_apart` accepts."""
        kept = batch.kept & self._equal_apart[len(rows)]
        logits = None if batch.logits is None else rows_at(batch.logits, rows)
        steps, images = start_steps(self.staged.needed, kept), batch.images.select(rows)
        return ImageBatch(images, kept, steps, RowSelection(batch.values, rows), logits)

    def values_at(self, batch: ImageBatch, step: int, *, without: str | None = None) -> Values:
        """Return the values that a run of a batch from this step reads, except the one named by without."""
        names = [name for name in self.staged.needed[step] if name not in (self.staged.input, without)]
        values = {name: batch.values[name] for name in names}
        if self.staged.input in self.staged.needed[step]:
            values[self.staged.input] = decode_pixels(batch.images)
        return values

    def logits_from(self, batch: ImageBatch, step: int) -> Tensor:
        """Return the logits of a batch that is run from this step. The values needed there must be kept."""
        return self.staged.resume(step, self.values_at(batch, step))[0]

    def has_rows_at(self, batch: ImageBatch, step: int) -> bool:
        """Return whether all values that are needed at a step are kept of a batch, with one row per image."""
        return self._row_names & batch.kept >= set(self.staged.needed[step])

    def equal_apart(self, step: int, *groups: Tensor) -> bool:
        """Return whether groups of these sizes, each run from a step on, are known to give what the batch gives."""
        names = {*self.staged.needed[step], LOGITS}
        return all(len(rows) >= MIN_ROWS and names <= self._equal_apart.get(len(rows), frozenset()) for rows in groups)

    @torch.inference_mode()
    def try_sizes(self, n_parts: int) -> None:
        """Find out which kept values stay the same if part of a batch runs alone, for all part sizes in use."""
        n_images = len(self._images)
        for n_rows in {n for images in self._batches for n in separate_sizes(len(images), n_parts)}:
            self.batch_of(torch.arange(n_images - n_rows, n_images))

    @torch.inference_mode()
    def _run(self) -> tuple[list[dict[str, Any]], list[Tensor]]:
        inputs = ({self.staged.input: decode_pixels(images)} for images in self._batches)
        runs = [self.staged.resume(0, values, self._names) for values in inputs]
        return [values for _, values in runs], [logits for logits, _ in runs]

    def _equal_names(self, images: Images, expected: ValueRows) -> frozenset[str]:
        """Return the names of the kept values that a golden run of these images gives too, bit for bit."""
        logits, values = self.staged.resume(0, {self.staged.input: decode_pixels(images)}, self._names)
        equal = {name for name, value in {**values, LOGITS: logits}.items() if expected.equals(name, value)}
        return frozenset(equal) | (self._kept & {self.staged.input})
