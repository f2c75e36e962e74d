"""Shared walks: several trials go through a network together, and a step runs once for all that do not fault it.

A trial whose faults reach a step runs it on its own rows while its flips are in memory. Its rows then replace those of
the common run. Each trial gets the bits that it would get alone (`sharing_probe`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.injection import Patch, apply_patches, make_patches
from faultbench.trials.staging.image_batches import decode_pixels
from faultbench.trials.staging.sharing_probe import Sharing, probe_sharing, take_rows
from faultbench.trials.staging.staged_network import StagedNetwork, Values

StepPatches = Mapping[int, Sequence[Patch]]
"""Patches of a trial to the memory that a step reads, by step."""


class SharedWalks:
    """Ways in which trials of a network share walks, probed once per group size; readers are steps, by tensor."""

    def __init__(self, staged: StagedNetwork, space: FaultSpace, readers: Sequence[Sequence[int]]) -> None:
        self._staged, self._space, self._readers = staged, space, readers
        self._all_read = all(item.tensor.data_ptr() in staged.readers for item in space.stored)
        self._known: dict[tuple[int, int], Sharing | None] = {}

    def sharing(self, images: Images, n_images: int) -> Sharing | None:
        """Return how trials of n_images each share a walk over these images; None if they cannot or gain nothing.

        The first call for a group size probes it on these images.
        """
        shape = (len(images), n_images)
        if shape not in self._known:
            self._known[shape] = self._probe(images, n_images)
        return self._known[shape]

    def _probe(self, images: Images, n_images: int) -> Sharing | None:
        if not self._all_read or images.stored.device.type != "cpu":  # the gain on a card was never measured
            return None
        faulted = {step for steps in self._readers for step in steps}
        sharing = probe_sharing(self._staged, decode_pixels(images), n_images=n_images, faulted=faulted)
        return sharing if sharing and sharing.pays else None

    def patches_by_step(self, fault_maps: Sequence[FaultMap]) -> list[dict[int, list[Patch]]]:
        """Return for each trial the patches that its flips make to the memory that a step reads, by step."""
        trials: list[dict[int, list[Patch]]] = [{} for _ in fault_maps]
        for by_step, by_tensor in zip(trials, make_patches(self._space, fault_maps), strict=True):
            for index, patch in by_tensor.items():
                for step in self._readers[index]:
                    by_step.setdefault(step, []).append(patch)
        return trials


def walk_together(
    staged: StagedNetwork, sharing: Sharing, start: int, values: Values, trials: Sequence[StepPatches]
) -> Tensor:
    """Return the logits of a group of trials, one trial after the other.

    The walk begins at step start, from golden values of all their images.
    """
    at_hand = dict(values)
    for step in range(start, len(staged.steps)):
        at_hand[staged.steps[step].name] = _step_output(staged, sharing, step, at_hand, trials)
        at_hand = {name: at_hand[name] for name in staged.needed[step + 1]}
    (logits,) = at_hand.values()
    return logits  # type: ignore[no-any-return]  # the values of a graph are untyped


def _step_output(
    staged: StagedNetwork, sharing: Sharing, step: int, values: Values, trials: Sequence[StepPatches]
) -> Any:
    """Return the output of a step for all rows; trials that fault the step have their own rows in it."""
    known = sharing.steps[step]
    faulting = [number for number, faults in enumerate(trials) if step in faults]
    if not faulting and known.is_row_wise:
        return staged.run_step(step, values)
    if not known.pays(len(faulting), sharing.n_trials):
        return torch.cat([_trial_output(staged, sharing, step, values, *each) for each in enumerate(trials)])
    common = staged.run_step(step, values)
    pieces, last = list[Tensor](), 0
    for number in faulting:
        rows = sharing.rows(number)
        own = _trial_output(staged, sharing, step, values, number, trials[number])
        pieces += [common[last : rows.start], own]
        last = rows.stop
    return torch.cat([*pieces, common[last:]])


def _trial_output(
    staged: StagedNetwork, sharing: Sharing, step: int, values: Values, number: int, faults: StepPatches
) -> Tensor:
    """Return the output of a step for the rows of one trial, with the trial's flips in memory."""
    rows = sharing.rows(number)
    own = {name: take_rows(values[name], rows) for name in staged.reads(step)}
    with apply_patches(faults.get(step, ())):
        return staged.run_step(step, own)  # type: ignore[no-any-return]  # the values of a graph are untyped
