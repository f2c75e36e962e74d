"""Which steps several trials may do together without a bit of difference, found out on golden values.

A library may take another kernel for more images, and that may add up in another order. So a golden run of many images
is held, step by step, against runs of as few as a trial looks at: a step whose rows differ, or lie otherwise in memory,
is done for each trial on its own. What kernel is taken depends on shapes and layouts and not on values, so what holds
of golden values holds of faulted ones.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time
from typing import Any

import torch
from torch import Tensor

from faultbench.staging.splicing import same_bits
from faultbench.staging.steps import StagedNetwork

WORTHWHILE = 1.0
"""Trials share a walk where its steps take less than this share of what they take for one trial after the other."""


@dataclass(frozen=True)
class Step:
    """Whether a step gives the same rows however many run together, and its seconds for all rows and for a trial's."""

    is_alike: bool
    together_s: float
    alone_s: float

    def pays(self, n_alone: int, n_trials: int) -> bool:
        """Whether to do it for all rows at once though n_alone of the trials do it again on their own."""
        return self.is_alike and self.together_s < (n_trials - n_alone) * self.alone_s


@dataclass(frozen=True)
class Sharing:
    """A group of trials, each over so many images, and what is known of every step for such a group."""

    n_trials: int
    n_images: int
    steps: Sequence[Step]

    def rows(self, trial: int) -> slice:
        """Where the images of one of the trials lie."""
        return slice(trial * self.n_images, (trial + 1) * self.n_images)


def found_out(staged: StagedNetwork, images: Tensor, *, n_images: int, faulted: Collection[int]) -> Sharing | None:
    """How trials of n_images each share a walk over these images; None if they cannot.

    faulted are the steps that faults can reach: a trial must be able to do these on its rows alone.
    """
    n_trials = len(images) // n_images
    blocks = [images[trial * n_images : (trial + 1) * n_images] for trial in range(n_trials)]
    walks = [staged.walk(aligned(block)) for block in blocks]
    values: dict[str, Any] = {staged.input: images}
    if not _is_of_rows(images, blocks):
        return None
    of_rows, steps = {staged.input}, list[Step]()
    for step, node in enumerate(staged.steps):
        # The first time takes longer: a library prepares for shapes that it has not met.
        (_, _), (made, together_s) = (_timed(lambda: staged.apply(step, values)) for _ in range(2))  # noqa: B023 - called at once
        alone, seconds = zip(*(_timed(lambda: next(walk)[2]) for walk in walks), strict=True)  # noqa: B023 - called at once
        if _is_of_rows(made, alone):
            of_rows.add(node.name)
            joined = torch.cat(alone)
            is_alike = joined.stride() == made.stride() and _is_alike(made, joined)
            made = made if is_alike else joined
        else:
            is_alike = not any(isinstance(one, Tensor) for one in alone)
        if (not is_alike or step in faulted) and not of_rows >= {node.name, *staged.reads(step)}:
            return None
        steps.append(Step(is_alike, together_s, median(seconds)))
        values[node.name] = made
        values = {name: values[name] for name in staged.needed[step + 1]}
    if not of_rows >= set(staged.needed[-1]) or not _is_worthwhile(steps, n_trials):
        return None
    return Sharing(n_trials, n_images, steps)


def _is_worthwhile(steps: Sequence[Step], n_trials: int) -> bool:
    together_s = sum(step.together_s if step.is_alike else n_trials * step.alone_s for step in steps)
    return together_s < WORTHWHILE * n_trials * sum(step.alone_s for step in steps)


def aligned(rows: Tensor) -> Tensor:
    """Rows of a longer tensor as if they had been made alone: on the boundary that memory is given out on."""
    return rows if rows.data_ptr() % _BOUNDARY == 0 else rows.clone(memory_format=torch.preserve_format)


_BOUNDARY = 64


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    # Time of this thread, as trials run on one: what else the machine does must not count in a single reading.
    started = thread_time()
    return call(), thread_time() - started


def _is_of_rows(made: Any, alone: Sequence[Any]) -> bool:
    """Whether a value has a row an image, and one trial's of them are laid out as those that it makes alone."""
    if not all(isinstance(one, Tensor) and one.dim() for one in (made, *alone)):
        return False
    n_images = len(alone[0])
    return len(made) == n_images * len(alone) and all(
        one.shape == made[:n_images].shape and aligned(made[:n_images]).stride() == one.stride() for one in alone
    )


def _is_alike(made: Tensor, joined: Tensor) -> bool:
    if made.dtype != joined.dtype:
        return False
    return same_bits(made, joined) if made.dtype == torch.float32 else torch.equal(made, joined)
