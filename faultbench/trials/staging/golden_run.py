"""Golden run of a network, and faulted runs that reuse the values kept of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.network import Network
from faultbench.trials.staging.faulted_runs import N_PARTS, FaultedRuns
from faultbench.trials.staging.first_fault import FirstFault
from faultbench.trials.staging.golden_values import GoldenValues
from faultbench.trials.staging.image_batches import ImageBatch, decode_pixels
from faultbench.trials.staging.kept_values import choose_kept_values, expected_s, start_steps
from faultbench.trials.staging.shared_walks import SharedWalks, walk_together
from faultbench.trials.staging.staged_network import StagedNetwork
from faultbench.trials.staging.step_costs import N_TIMINGS, StepCosts, measure_costs, writes_in_place


@dataclass(frozen=True)
class Staging:
    """Memory that values of the golden run may take, and a sample of the fault maps that trials will meet."""

    memory_bytes: int = 0
    sample: Sequence[FaultMap] = field(default_factory=tuple)


WHOLE_RUNS = Staging()
"""Nothing is kept: every run is a whole one."""


class GoldenRun:
    """Golden run of a network over fixed batches of images; faulted runs give the bits of whole runs.

    replaced_step, if given, is a step whose module will be replaced: no value made there or later is kept.
    """

    def __init__(
        self,
        network: Network,
        space: FaultSpace,
        images: Images,
        batch: int,
        staging: Staging,
        *,
        n_timings: int = N_TIMINGS,
        replaced_step: int | None = None,
    ) -> None:
        self._staged, self._images = StagedNetwork(network), images
        self.costs: StepCosts | None = None
        first = decode_pixels(images.batches(batch)[0])
        if staging.memory_bytes and not writes_in_place(self._staged, first):
            self.costs = measure_costs(self._staged, network, first, n_images=len(images), n_timings=n_timings)
        self._first_fault = FirstFault(self._staged, space, self.costs, len(first))
        can_share = self.costs is not None and replaced_step is None
        self._walks = SharedWalks(self._staged, space, self._first_fault.readers) if can_share else None
        self._kept = self._choose_kept(staging, replaced_step)
        self._golden = GoldenValues(self._staged, images, batch, self._kept)
        self._runs = FaultedRuns(self._golden, self._first_fault, self.costs)
        if replaced_step is None and self._kept - {self._staged.input}:
            self._golden.try_sizes(N_PARTS)

    @property
    def logits(self) -> list[Tensor]:
        """Return the golden logits of each batch."""
        return self._golden.logits

    @property
    def seconds(self) -> float:
        """Return how long the golden run took."""
        return self._golden.seconds

    @property
    def kept_bytes(self) -> int:
        """Return the memory that the kept values take."""
        return self._golden.kept_bytes

    def expected_share(self, sample: Sequence[FaultMap]) -> float:
        """Return the expected time of a trial with fault maps like these, as a share of the golden run's time."""
        if self.costs is None:
            return sum(1.0 for fault_map in sample if len(fault_map)) / len(sample)
        trials = [[fault.step for fault in self._first_fault.faulted_steps(fault_map)] for fault_map in sample]
        return expected_s(self.costs, trials, self._kept) / (len(sample) * sum(self.costs.seconds))

    @torch.inference_mode()
    def batches(self, rows: Tensor | None = None) -> list[ImageBatch]:
        """Return the batches of all images, or of those at these indices, ascending. No flip may be in memory."""
        return self._golden.all_batches() if rows is None else self._golden.batches_of(rows)

    @torch.inference_mode()
    def faulted_logits(self, fault_map: FaultMap, batches: Sequence[ImageBatch]) -> list[Tensor]:
        """Return the logits of each batch. These flips must be in memory."""
        faults = self._first_fault.faulted_steps(fault_map)
        return [self._runs.logits(batch, faults) for batch in batches]

    @torch.inference_mode()
    def shared_logits(self, fault_maps: Sequence[FaultMap], rows: Tensor) -> Tensor | None:
        """Return the logits of trials that run together, one trial after the other. No flip may be in memory.

        Every trial has flips and the same number of images. rows are the indices of these images, ascending within a
        trial. None means that such trials cannot share a walk or gain nothing by it: use `faulted_logits` for each.
        """
        images, n_images = self._images.select(rows), len(rows) // len(fault_maps)
        sharing = None if self._walks is None else self._walks.sharing(images, n_images)
        if self._walks is None or sharing is None:
            return None
        kept = self._golden.batch_of(rows[:n_images]).kept
        starts, faults = start_steps(self._staged.needed, kept), self._walks.patches_by_step(fault_maps)
        batch = ImageBatch(images, kept, starts, self._golden.rows_at(rows), None)
        first = starts[min(min(steps) for steps in faults)]
        values = self._golden.values_at(batch, first)
        return walk_together(self._staged, sharing, first, values, faults) if sharing.can_begin(values) else None

    def _choose_kept(self, staging: Staging, replaced_step: int | None) -> frozenset[str]:
        if self.costs is None:
            return frozenset()
        last = len(self._staged.steps) if replaced_step is None else replaced_step
        samples = [self._first_fault.faulted_steps(fault_map) for fault_map in staging.sample]
        trials = [[min(fault.step, last) for fault in faults] for faults in samples]
        later = {node.name for node in self._staged.steps[last:]}
        return choose_kept_values(self.costs, trials, staging.memory_bytes) - later
