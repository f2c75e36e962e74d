"""Probe of the steps that several trials may run together without changing a bit, made on golden values.

A library may take another kernel for more images, and that kernel may add up in another order. So a golden run of many
images is compared, step by step, with runs of as few as a trial has. A step whose rows differ, or have another memory
layout, runs for each trial on its own. The choice of a kernel depends on shapes and layouts and not on values, so a
result for golden values also holds for faulted ones.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import thread_time
from typing import Any

import torch
from torch import Tensor

from faultbench.trials.staging.channel_splicing import same_bits
from faultbench.trials.staging.staged_network import StagedNetwork, Values

WORTHWHILE = 0.75
"""Trials share walks only if that takes less than this share of the time of separate walks.

The margin is needed because shared walks repeat what lies before the first faults.
"""


@dataclass(frozen=True)
class StepSharing:
    """Properties of a step in a shared walk, with its seconds for all rows and for the rows of one trial."""

    is_row_wise: bool
    """Whether the step gives a row the same bits however many rows run together."""
    together_s: float
    alone_s: float

    def pays(self, n_alone: int, n_trials: int) -> bool:
        """Return whether to run the step for all rows at once although n_alone trials repeat it on their own."""
        return self.is_row_wise and self.together_s < (n_trials - n_alone) * self.alone_s


@dataclass(frozen=True)
class Sharing:
    """Group of trials with the same number of images each, and the properties of every step for such a group."""

    n_trials: int
    n_images: int
    steps: Sequence[StepSharing]
    strides: Mapping[str, tuple[int, ...]]
    """Memory layout of the values that have one row per image, by their names."""

    @property
    def pays(self) -> bool:
        """Return whether a shared walk of trials without faults saves enough time against separate walks."""
        alone_s = [self.n_trials * step.alone_s for step in self.steps]
        together_s = [step.together_s if step.is_row_wise else s for step, s in zip(self.steps, alone_s, strict=True)]
        return sum(together_s) < WORTHWHILE * sum(alone_s)

    def can_begin(self, values: Values) -> bool:
        """Return whether a walk may start from these values, that is, whether their layout is that of a whole walk."""
        return all(
            isinstance(value, Tensor) and value.stride() == self.strides.get(name) for name, value in values.items()
        )

    def rows(self, trial: int) -> slice:
        """Return the rows that the images of one of the trials take."""
        return slice(trial * self.n_images, (trial + 1) * self.n_images)


def probe_sharing(staged: StagedNetwork, images: Tensor, *, n_images: int, faulted: Collection[int]) -> Sharing | None:
    """Return how trials of n_images each share a walk over these images, or None if they cannot.

    faulted are the steps that faults can reach: a trial must be able to run these on its rows alone.
    """
    n_trials = len(images) // n_images
    blocks = [take_rows(images, slice(start, start + n_images)) for start in range(0, len(images), n_images)]
    walks = [staged.walk(block) for block in blocks]
    values: dict[str, Any] = {staged.input: images}
    if not _splits_into(images, blocks):
        return None
    strides, steps = {staged.input: images.stride()}, list[StepSharing]()
    for step, node in enumerate(staged.steps):
        # Twice, since a library prepares for shapes that it has not met.
        tries = [_timed(partial(staged.run_step, step, values)) for _ in range(2)]
        output, together_s = tries[1][0], min(seconds for _, seconds in tries)
        walked, seconds = zip(*(_timed(partial(next, walk)) for walk in walks), strict=True)
        alone = [own for _, _, own in walked]
        output, is_row_wise = _joined(output, alone, can_fault=step in faulted)
        if _splits_into(output, alone):
            strides[node.name] = output.stride()
        if (not is_row_wise or step in faulted) and not strides.keys() >= {node.name, *staged.reads(step)}:
            return None
        steps.append(StepSharing(is_row_wise, together_s, median(seconds)))
        values[node.name] = output
        values = {name: values[name] for name in staged.needed[step + 1]}
    return Sharing(n_trials, n_images, steps, strides) if strides.keys() >= set(staged.needed[-1]) else None


def take_rows(value: Tensor, rows: slice) -> Tensor:
    """Return some rows of a value, aligned in memory as if they had been computed alone."""
    taken = value[rows]
    is_aligned = (taken.data_ptr() - value.data_ptr()) % _ALIGNMENT_BYTES == 0
    return taken if is_aligned else taken.clone(memory_format=torch.preserve_format)


_ALIGNMENT_BYTES = 64


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    # Time of this thread, as trials run on one: what else the machine does must not count in a single reading.
    started = thread_time()
    return call(), thread_time() - started


def _joined(output: Any, alone: Sequence[Any], *, can_fault: bool) -> tuple[Any, bool]:
    """Return what a step gives in a shared walk, and whether it may run for all rows at once."""
    if not _has_rows_of(output, alone):
        return output, not isinstance(output, Tensor)
    joined = torch.cat(list(alone))
    # Rows of faulted trials are put between the others, which must not change the memory layout.
    is_row_wise = _are_equal(output, joined) and (not can_fault or output.stride() == joined.stride())
    return (output, True) if is_row_wise else (joined, False)


def _has_rows_of(output: Any, alone: Sequence[Any]) -> bool:
    if not all(isinstance(value, Tensor) and value.dim() for value in (output, *alone)):
        return False
    return len(output) == sum(len(own) for own in alone) and all(own.shape[1:] == output.shape[1:] for own in alone)


def _splits_into(output: Any, alone: Sequence[Any]) -> bool:
    """Return whether a value has one row per image, and each trial's rows have the layout of those run alone."""
    if not _has_rows_of(output, alone):
        return False
    starts = range(0, len(output), len(alone[0]))
    taken = [take_rows(output, slice(start, start + len(alone[0]))) for start in starts]
    return all(
        own.shape == rows.shape and own.stride() == rows.stride() for own, rows in zip(alone, taken, strict=True)
    )


def _are_equal(output: Tensor, joined: Tensor) -> bool:
    if output.dtype != joined.dtype:
        return False
    return same_bits(output, joined) if output.dtype == torch.float32 else torch.equal(output, joined)
