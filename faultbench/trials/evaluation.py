"""Trials of a network against its golden run: inject flips, run the images, count the outcomes, undo the flips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.injection import inject_faults
from faultbench.networks.agreement.repeatability import refuse_if_not_repeated, refuse_if_unrepeatable
from faultbench.networks.agreement.sample_images import ALONE
from faultbench.networks.network import Network, Site
from faultbench.system.errors import FaultbenchError
from faultbench.trials.staging.golden_run import WHOLE_RUNS, GoldenRun, Staging
from faultbench.trials.staging.image_batches import decode_pixels
from faultbench.trials.staging.search_golden_run import SearchGoldenRun

OnLogits = Callable[[Tensor], None]
"""Callback that gets the logits of a run."""

MAX_SHARED_IMAGES = 64
"""Largest number of images that trials run together. 128 and 256 were no faster on the digits."""


@dataclass(frozen=True)
class Outcome:
    """Counts of the images of one run, compared with the golden run.

    Each image is masked (top-1 as in the golden run), an SDC (finite logits, another top-1) or a DUE (logits not all
    finite). An SDC or a DUE is critical if the golden run was right.
    """

    n_correct: int
    n_masked: int
    n_sdc: int
    n_sdc_critical: int
    n_due: int
    n_due_critical: int
    n_golden_correct: int


class Evaluation:
    """Network with its fault space, its test images and its finished golden run, ready for trials.

    Trials run one at a time and leave the network as it was. Without staging each trial runs the whole network; with
    staging the outcomes are the same and come sooner. replaced_site, if given, is a site whose module may be replaced
    between trials.
    """

    def __init__(
        self,
        network: Network,
        space: FaultSpace,
        images: Images,
        *,
        batch: int,
        staging: Staging = WHOLE_RUNS,
        replaced_site: Site | None = None,
    ) -> None:
        self.network, self.space = network, space
        self.images, self.batch = images, batch
        self._labels = images.labels
        if replaced_site is None:
            self._run = GoldenRun(network, space, images, batch, staging)
        else:
            self._run = SearchGoldenRun(network, space, images, batch, staging, site=replaced_site)
        self._set_golden()

    @property
    def golden_s(self) -> float:
        """Return the seconds that the golden run took."""
        return self._run.seconds

    @property
    def n_images(self) -> int:
        """Return the number of images."""
        return len(self._labels)

    @property
    def golden_right(self) -> NDArray[np.bool_]:
        """Return for each image whether the golden run classifies it correctly."""
        return self._golden_right

    @property
    def top1_digest(self) -> str:
        """Return 16 hex digits that two golden runs share only if they put every image into the same class."""
        return blake2b(self._golden.numpy().astype("<i8").tobytes(), digest_size=8).hexdigest()

    @property
    def kept_bytes(self) -> int:
        """Return the memory that values kept of the golden run take."""
        return self._run.kept_bytes

    def expected_s(self, sample: Sequence[FaultMap]) -> float:
        """Return the expected seconds of a trial with fault maps like these."""
        return self.golden_s * self._run.expected_share(sample)

    @torch.inference_mode()
    def require_repeatable(self, name: str) -> None:
        """Raise FaultbenchError if images give other logits in another run, or alone, than in the golden run."""
        images = decode_pixels(self.images.batches(self.batch)[0])
        logits, graph = self._run.logits[0], self.network.graph
        before = graph(images) if self._run.costs is None else self._run.costs.logits
        refuse_if_not_repeated(name, graph, images, logits, before)
        refuse_if_unrepeatable(name, graph, graph, images, logits, ALONE[:2])

    def rerun_golden(self) -> None:
        """Repeat the golden run after the module at the replaced site was replaced."""
        if not isinstance(self._run, SearchGoldenRun):
            raise TypeError("only an evaluation with a replaced_site can repeat its golden run")
        self._run.rerun()
        self._set_golden()

    def outcome(
        self, fault_map: FaultMap, chosen: NDArray[np.int64] | None = None, *, on_logits: OnLogits | None = None
    ) -> Outcome:
        """Run the images with these flips in memory. Without flips nothing runs, and the outcome is the golden run's.

        chosen, if given, are the indices of the images to run, ascending. on_logits is called with the logits of what
        is run.
        """
        rows = None if chosen is None else torch.from_numpy(chosen)
        if not len(fault_map):
            return self.golden if rows is None else self._count(self._golden[rows], _all_true(rows), rows)
        batches = self._run.batches(rows)
        with inject_faults(self.space, fault_map):
            logits = self._run.faulted_logits(fault_map, batches)
        if on_logits is not None:
            on_logits(torch.cat(logits))
        return self._count(*_top1(logits), rows)

    def outcome_of(self, logits: Tensor, chosen: NDArray[np.int64] | None = None) -> Outcome:
        """Return the outcome of a run of all images, or of those at these indices, that gave these logits."""
        return self._count(*_top1([logits]), None if chosen is None else torch.from_numpy(chosen))

    def outcomes(
        self,
        fault_maps: Sequence[FaultMap],
        chosen: Sequence[NDArray[np.int64]],
        *,
        on_logits: Callable[[int, Tensor], None] | None = None,
    ) -> list[Outcome]:
        """Return the outcome of each of these trials over chosen images, as `outcome` does, but faster for many.

        on_logits is called with the place of each trial that is run, and its logits.
        """
        outcomes: dict[int, Outcome] = {}
        for n_images in {len(rows) for rows in chosen}:
            of_size = [number for number, rows in enumerate(chosen) if len(rows) == n_images]
            outcomes |= self._without_flips([number for number in of_size if not len(fault_maps[number])], chosen)
            for group in _groups([number for number in of_size if len(fault_maps[number])], fault_maps, n_images):
                outcomes |= self._run_group(group, fault_maps, chosen, on_logits)
        return [outcomes[number] for number in range(len(chosen))]

    def _without_flips(self, numbers: Sequence[int], chosen: Sequence[NDArray[np.int64]]) -> dict[int, Outcome]:
        if not numbers:
            return {}
        rows = torch.from_numpy(np.concatenate([chosen[number] for number in numbers]))
        outcomes = self._count_trials(self._golden[rows], _all_true(rows), rows, len(numbers))
        return dict(zip(numbers, outcomes, strict=True))

    def _run_group(
        self,
        group: Sequence[int],
        fault_maps: Sequence[FaultMap],
        chosen: Sequence[NDArray[np.int64]],
        on_logits: Callable[[int, Tensor], None] | None,
    ) -> dict[int, Outcome]:
        rows = torch.from_numpy(np.concatenate([chosen[number] for number in group]))
        logits = self._run.shared_logits([fault_maps[number] for number in group], rows) if len(group) > 1 else None
        if logits is None:
            callbacks = {number: partial(on_logits, number) if on_logits else None for number in group}
            return {n: self.outcome(fault_maps[n], chosen[n], on_logits=call) for n, call in callbacks.items()}
        if on_logits is not None:
            for number, own in zip(group, torch.split(logits, len(rows) // len(group)), strict=True):
                on_logits(number, own)
        return dict(zip(group, self._count_trials(*_top1([logits]), rows, len(group)), strict=True))

    def _set_golden(self) -> None:
        self._golden, finite = _top1(self._run.logits)
        if not bool(finite.all()):
            raise FaultbenchError(f"the golden run gives logits that are not finite for {int((~finite).sum())} images")
        self._golden_right = (self._golden == self._labels).numpy()
        self.golden = self._count(self._golden, finite, None)

    def _count(self, top1: Tensor, finite: Tensor, rows: Tensor | None) -> Outcome:
        return self._count_trials(top1, finite, rows, 1)[0]

    def _count_trials(self, top1: Tensor, finite: Tensor, rows: Tensor | None, n_trials: int) -> list[Outcome]:
        """Count the outcomes of trials that lie one after the other, each over the same number of images."""
        golden, labels = self._golden, self._labels
        if rows is not None:
            golden, labels = golden[rows], labels[rows]
        masked = finite & (top1 == golden)
        sdc, due, golden_right = finite & ~masked, ~finite, golden == labels
        counted = (finite & (top1 == labels), masked, sdc, sdc & golden_right, due, due & golden_right, golden_right)
        return [
            Outcome(*counts) for counts in torch.stack(counted).view(len(counted), n_trials, -1).sum(dim=2).T.tolist()
        ]


def _groups(numbers: Sequence[int], fault_maps: Sequence[FaultMap], n_images: int) -> list[list[int]]:
    """Return groups of trials that run together, ordered by their first fault.

    If the last group lacks few trials, its last trial is repeated to fill it.
    """
    # Addresses are in the order of execution.
    ordered = sorted(numbers, key=lambda number: int(fault_maps[number].addresses[0]))
    size = max(MAX_SHARED_IMAGES // n_images, 1)
    n_whole = len(ordered) // size * size
    groups = [ordered[start : start + size] for start in range(0, n_whole, size)]
    rest = ordered[n_whole:]
    if 2 * len(rest) > size:  # each further group size would be probed anew, so there is one size
        return [*groups, rest + rest[-1:] * (size - len(rest))]
    return groups + [[number] for number in rest]


def _all_true(rows: Tensor) -> Tensor:
    return torch.ones(len(rows), dtype=torch.bool)


def _top1(logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return each image's top-1 class, and whether its logits are all finite, as tensors on the CPU."""
    together = torch.cat(tuple(logits))
    return together.argmax(dim=1).cpu(), torch.isfinite(together).all(dim=1).cpu()
