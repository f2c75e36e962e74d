"""Which steps several trials may do together without a bit of difference, found out on golden values.

A library may take another kernel for more images, and that may add up in another order. So a golden run of many images
is held, step by step, against runs of as few as a trial looks at: a step whose rows differ, or lie otherwise in memory,
is done for each trial on its own. What kernel is taken depends on shapes and layouts and not on values, so what holds
of golden values holds of faulted ones.
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
"""Trials share walks that take less than this share of walks one by one: what is before their faults they do anew."""


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
    strides: Mapping[str, tuple[int, ...]]
    """How the values that have a row an image lie in memory, by their names."""

    @property
    def pays(self) -> bool:
        """Whether a walk of trials that fault nothing takes enough less than one walk after the other."""
        alone_s = [self.n_trials * step.alone_s for step in self.steps]
        together_s = [step.together_s if step.is_alike else s for step, s in zip(self.steps, alone_s, strict=True)]
        return sum(together_s) < WORTHWHILE * sum(alone_s)

    def can_begin(self, values: Values) -> bool:
        """Whether a walk may begin from these values: they lie in memory as those of a whole walk."""
        return all(
            isinstance(value, Tensor) and value.stride() == self.strides.get(name) for name, value in values.items()
        )

    def rows(self, trial: int) -> slice:
        """Where the images of one of the trials lie."""
        return slice(trial * self.n_images, (trial + 1) * self.n_images)


def found_out(staged: StagedNetwork, images: Tensor, *, n_images: int, faulted: Collection[int]) -> Sharing | None:
    """How trials of n_images each share a walk over these images; None if they cannot.

    faulted are the steps that faults can reach: a trial must be able to do these on its rows alone.
    """
    n_trials = len(images) // n_images
    blocks = [taken(images, slice(start, start + n_images)) for start in range(0, len(images), n_images)]
    walks = [staged.walk(block) for block in blocks]
    values: dict[str, Any] = {staged.input: images}
    if not _is_of_rows(images, blocks):
        return None
    strides, steps = {staged.input: images.stride()}, list[Step]()
    for step, node in enumerate(staged.steps):
        # Twice, since a library prepares for shapes that it has not met.
        tries = [_timed(partial(staged.apply, step, values)) for _ in range(2)]
        made, together_s = tries[1][0], min(seconds for _, seconds in tries)
        walked, seconds = zip(*(_timed(partial(next, walk)) for walk in walks), strict=True)
        alone = [found for _, _, found in walked]
        made, is_alike = _joined(made, alone, can_fault=step in faulted)
        if _is_of_rows(made, alone):
            strides[node.name] = made.stride()
        if (not is_alike or step in faulted) and not strides.keys() >= {node.name, *staged.reads(step)}:
            return None
        steps.append(Step(is_alike, together_s, median(seconds)))
        values[node.name] = made
        values = {name: values[name] for name in staged.needed[step + 1]}
    return Sharing(n_trials, n_images, steps, strides) if strides.keys() >= set(staged.needed[-1]) else None


def taken(value: Tensor, rows: slice) -> Tensor:
    """Some rows of a value, as if they had been made alone: as far from the boundaries that memory is given out on."""
    found = value[rows]
    is_alike = (found.data_ptr() - value.data_ptr()) % _BOUNDARY == 0
    return found if is_alike else found.clone(memory_format=torch.preserve_format)


_BOUNDARY = 64


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    # Time of this thread, as trials run on one: what else the machine does must not count in a single reading.
    started = thread_time()
    return call(), thread_time() - started


def _joined(made: Any, alone: Sequence[Any], *, can_fault: bool) -> tuple[Any, bool]:
    """What a step gives in a shared walk, and whether it may be done for all rows at once."""
    if not _has_rows(made, alone):
        return made, not isinstance(made, Tensor)
    joined = torch.cat(list(alone))
    # Where some trials are faulted their rows are put between the others, which must not change how these lie.
    is_alike = _is_alike(made, joined) and (not can_fault or made.stride() == joined.stride())
    return (made, True) if is_alike else (joined, False)


def _has_rows(made: Any, alone: Sequence[Any]) -> bool:
    if not all(isinstance(one, Tensor) and one.dim() for one in (made, *alone)):
        return False
    return len(made) == sum(len(one) for one in alone) and all(one.shape[1:] == made.shape[1:] for one in alone)


def _is_of_rows(made: Any, alone: Sequence[Any]) -> bool:
    """Whether a value has a row an image, and a trial's rows of it lie in memory as those that it makes alone."""
    if not _has_rows(made, alone):
        return False
    starts = range(0, len(made), len(alone[0]))
    own = [taken(made, slice(start, start + len(alone[0]))) for start in starts]
    return all(one.shape == rows.shape and one.stride() == rows.stride() for one, rows in zip(alone, own, strict=True))


def _is_alike(made: Tensor, joined: Tensor) -> bool:
    if made.dtype != joined.dtype:
        return False
    return same_bits(made, joined) if made.dtype == torch.float32 else torch.equal(made, joined)
