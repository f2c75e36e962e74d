"""Trials run a second time by the plain network, and held against what they gave, bit for bit: `--paranoid`."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.injection import injected
from faultbench.system.errors import EngineError
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.staging.image_batches import decoded

ONE_IN = 20
"""One trial in so many is run a second time, besides the first of each cell."""


def is_sampled(cell: str, trial: int) -> bool:
    """Whether a trial of the cell with this key is run a second time: hangs on its name alone, wherever it runs."""
    named = blake2b(f"{cell}\x1f{trial}".encode(), digest_size=8, person=b"paranoid").digest()
    return trial == 0 or int.from_bytes(named, "little") % ONE_IN == 0


@torch.inference_mode()
def whole_logits(evaluation: Evaluation, fault_map: FaultMap, chosen: NDArray[np.int64] | None) -> Tensor:
    """The logits of a trial by calling the network on all its images: nothing kept, spliced, shared or dropped."""
    images = evaluation.images if chosen is None else evaluation.images.chosen(torch.from_numpy(chosen))
    with injected(evaluation.space, fault_map):
        return torch.cat([evaluation.network(decoded(batch)) for batch in images.batches(evaluation.batch)])


class SecondRuns:
    """The trials of a group that are doubted, their names by their places: sees what they gave, runs them again."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._logits: dict[int, Tensor] = {}

    def see(self, place: int, logits: Tensor) -> None:
        """Keep the logits of the trial at this place, if it is one of those."""
        if place in self._names:
            self._logits[place] = logits.clone()  # they may be a view of a whole group's

    def compare(
        self,
        evaluation: Evaluation,
        drawn: Sequence[tuple[FaultMap, NDArray[np.int64] | None]],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Run again, from what was drawn, those that were run; EngineError where logits or an outcome differ."""
        for place, logits in self._logits.items():
            fault_map, chosen = drawn[place]
            whole = whole_logits(evaluation, fault_map, chosen)
            differing = (logits.view(torch.int32) != whole.view(torch.int32)).any(dim=1)
            if bool(differing.any()):
                n_differing = int(differing.sum())
                raise _differs(self._names[place], f"other logits for {n_differing} of {len(whole)} images")
            counted = evaluation.judged(whole, chosen)
            if counted != outcomes[place]:
                raise _differs(
                    self._names[place], f"the same logits, but {counted} where {outcomes[place]} was counted"
                )


def _differs(name: str, what: str) -> EngineError:
    return EngineError(
        f"{name}: --paranoid: a whole run gives {what}, so neither this trial nor those run with it were recorded; "
        "if it happens again, report it; --memory 0 --fresh runs all trials whole"
    )
