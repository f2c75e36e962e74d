"""Several trials in one walk through a network: a step is done at once for all that do not fault it.

A trial whose faults reach a step does it on its own rows, its flips in memory meanwhile, and its rows are put in place
of those done without. What each trial gets is what it would get alone, bit for bit (`sharing`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from faultbench.faults.injection import Patch, written
from faultbench.staging.sharing import Sharing, taken
from faultbench.staging.steps import StagedNetwork, Values

Faults = Mapping[int, Sequence[Patch]]
"""What a trial's flips make of the memory that a step reads, by step."""


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
