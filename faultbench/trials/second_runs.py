"""Second runs of trials by the plain network, compared with the first bit for bit, for `--paranoid`."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.injection import inject_faults
from faultbench.system.errors import EngineError
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.staging.image_batches import decode_pixels

ONE_IN = 20
"""One trial in this many runs a second time, in addition to the first of each cell."""


def is_run_twice(cell: str, trial: int) -> bool:
    """Return whether a trial of the cell with this key runs a second time. It depends on the trial's name only."""
    digest = blake2b(f"{cell}\x1f{trial}".encode(), digest_size=8, person=b"paranoid").digest()
    return trial == 0 or int.from_bytes(digest, "little") % ONE_IN == 0


@torch.inference_mode()
def whole_logits(evaluation: Evaluation, fault_map: FaultMap, chosen: NDArray[np.int64] | None) -> Tensor:
    """Return the logits of a trial from a whole run on all its images: nothing is kept, spliced or shared."""
    images = evaluation.images if chosen is None else evaluation.images.select(torch.from_numpy(chosen))
    with inject_faults(evaluation.space, fault_map):
        return torch.cat([evaluation.network(decode_pixels(batch)) for batch in images.batches(evaluation.batch)])


class SecondRuns:
    """Trials of a group that run a second time, given by place and name; keeps their logits and runs them again."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._logits: dict[int, Tensor] = {}

    def keep_logits(self, place: int, logits: Tensor) -> None:
        """Keep the logits of the trial at this place if the trial runs a second time."""
        if place in self._names:
            self._logits[place] = logits.clone()  # they may be a view of a whole group's

    def compare(
        self,
        evaluation: Evaluation,
        drawn: Sequence[tuple[FaultMap, NDArray[np.int64] | None]],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Run these trials again from what was drawn; EngineError if logits or an outcome differ."""
        for place, logits in self._logits.items():
            fault_map, chosen = drawn[place]
            whole = whole_logits(evaluation, fault_map, chosen)
            if n_differing := _n_differing(logits, whole):
                raise _mismatch(self._names[place], f"other logits for {n_differing} of {len(whole)} images")
            counted = evaluation.outcome_of(whole, chosen)
            if counted != outcomes[place]:
                raise _mismatch(
                    self._names[place], f"the same logits, but {counted} where {outcomes[place]} was counted"
                )


def _n_differing(logits: Tensor, others: Tensor) -> int:
    """Return the number of images whose logits differ in a bit."""
    return int((logits.view(torch.int32) != others.view(torch.int32)).any(dim=1).sum())


def _mismatch(name: str, what: str) -> EngineError:
    return EngineError(
        f"{name}: --paranoid: a whole run gives {what}, so neither this trial nor those run with it were recorded; "
        "if it happens again, report it; --memory 0 --fresh runs all trials whole"
    )
