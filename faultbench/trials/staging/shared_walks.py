"""Several trials in one walk through a network: a step is done at once for all that do not fault it.

A trial whose faults reach a step does it on its own rows, its flips in memory meanwhile, and its rows are put in place
of those done without. What each trial gets is what it would get alone, bit for bit (`sharing`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.injection import Patch, patches, written
from faultbench.trials.staging.image_batches import decoded
from faultbench.trials.staging.sharing_probe import Sharing, found_out, taken
from faultbench.trials.staging.staged_network import StagedNetwork, Values

Faults = Mapping[int, Sequence[Patch]]
"""What a trial's flips make of the memory that a step reads, by step."""


class SharedWalks:
    """How trials of a network share walks, found out once for each size of a group; readers are steps, by tensor."""

    def __init__(self, staged: StagedNetwork, space: FaultSpace, readers: Sequence[Sequence[int]]) -> None:
        self._staged, self._space, self._readers = staged, space, readers
        self._all_read = all(item.tensor.data_ptr() in staged.readers for item in space.stored)
        self._known: dict[tuple[int, int], Sharing | None] = {}

    def sharing(self, images: Images, n_images: int) -> Sharing | None:
        """How trials of n_images each share a walk over so many images; the first time it finds out on these."""
        shape = (len(images), n_images)
        if shape not in self._known:
            faulted = {step for steps in self._readers for step in steps}
            can = self._all_read and images.stored.device.type == "cpu"  # on a card nothing of it is measured
            found = found_out(self._staged, decoded(images), n_images=n_images, faulted=faulted) if can else None
            self._known[shape] = found if found and found.pays else None
        return self._known[shape]

    def faults(self, fault_maps: Sequence[FaultMap]) -> list[dict[int, list[Patch]]]:
        """What the flips of each trial make of the memory that a step reads, by step."""
        found: list[dict[int, list[Patch]]] = [{} for _ in fault_maps]
        for of_map, of_tensors in zip(found, patches(self._space, fault_maps), strict=True):
            for index, patch in of_tensors.items():
                for step in self._readers[index]:
                    of_map.setdefault(step, []).append(patch)
        return found


def walked(staged: StagedNetwork, sharing: Sharing, begin: int, values: Values, trials: Sequence[Faults]) -> Tensor:
    """The logits of a group of trials, one after the other, begun at a step from golden values of all their images."""
    at_hand = dict(values)
    for step in range(begin, len(staged.steps)):
        made = _made(staged, sharing, step, at_hand, trials)
        at_hand[staged.steps[step].name] = made
        at_hand = {name: at_hand[name] for name in staged.needed[step + 1]}
    (logits,) = at_hand.values()
    return logits  # type: ignore[no-any-return]  # the values of a graph are untyped


def _made(staged: StagedNetwork, sharing: Sharing, step: int, values: Values, trials: Sequence[Faults]) -> Any:
    """What a step makes, with the rows of the trials that fault it as they make them."""
    known = sharing.steps[step]
    faulting = [number for number, faults in enumerate(trials) if step in faults]
    if not faulting and known.is_alike:
        return staged.apply(step, values)
    if not known.pays(len(faulting), sharing.n_trials):
        return torch.cat([_alone(staged, sharing, step, values, *each) for each in enumerate(trials)])
    made = staged.apply(step, values)
    pieces, last = list[Tensor](), 0
    for number in faulting:
        rows = sharing.rows(number)
        pieces += [made[last : rows.start], _alone(staged, sharing, step, values, number, trials[number])]
        last = rows.stop
    return torch.cat([*pieces, made[last:]])


def _alone(staged: StagedNetwork, sharing: Sharing, step: int, values: Values, number: int, faults: Faults) -> Tensor:
    """What a step makes of the rows of one trial with its flips in memory."""
    rows = sharing.rows(number)
    own = {name: taken(values[name], rows) for name in staged.reads(step)}
    with written(faults.get(step, ())):
        return staged.apply(step, own)  # type: ignore[no-any-return]  # the values of a graph are untyped
