"""Runs of a batch that begin at its first fault and leave out the images that no fault affects."""

from collections.abc import Sequence

from torch import Tensor

from faultbench.trials.staging.first_fault import ChannelValues, FaultedStep, FirstFault
from faultbench.trials.staging.golden_values import GoldenValues
from faultbench.trials.staging.image_batches import FaultFront, ImageBatch
from faultbench.trials.staging.staged_network import Values
from faultbench.trials.staging.step_costs import StepCosts
from faultbench.trials.staging.value_rows import RowSelection, equal_rows, rows_to_run

N_PARTS = 8
"""Images that a fault affects run apart from the others, in multiples of a batch divided by this number."""

COMPARISON_S = 1e-3
"""Assumed time to find the images that a fault affects. Images are compared only if the remaining steps take longer."""


class FaultedRuns:
    """Runs of batches while flips are in memory; their logits are those of whole runs, bit for bit.

    A run begins at the last kept step before its first fault. If the output of a faulted step is kept as well, only
    the channels hit are computed. Images that have their golden values again at the next layer go on to the next
    fault, and only the others are run on.
    """

    def __init__(self, golden: GoldenValues, first_fault: FirstFault, costs: StepCosts | None) -> None:
        self._golden, self._staged = golden, golden.staged
        self._first_fault, self._costs = first_fault, costs
        self.next_layers = self._staged.next_layers(costs.bounding if costs else ())

    def logits(self, batch: ImageBatch, faults: Sequence[FaultedStep]) -> Tensor:
        """Return the logits of a batch while these steps are faulted."""
        front, later = self._front(batch, faults, compares=True)
        if front is not None:
            return self._logits_behind(batch, front, later)
        if batch.logits is None:
            return self._golden.logits_from(batch, batch.start_steps[faults[0].step])
        return batch.logits

    def values_at(self, end: int, batch: ImageBatch, faults: Sequence[FaultedStep]) -> Values:
        """Return the values that the steps from end on read while earlier steps are faulted."""
        front, _ = self._front(batch, faults, compares=False)
        if front is None:
            return self._golden.values_at(batch, end)
        return self._staged.run_until(end, front.step, front.values)

    def _front(
        self, batch: ImageBatch, faults: Sequence[FaultedStep], *, compares: bool
    ) -> tuple[FaultFront | None, Sequence[FaultedStep]]:
        """Return the front of the first fault that affects an image, None if none does, and the later faults.

        If the output of the faulted step is not kept, the front is where a run begins, and no fault is later.
        compares says whether to find the affected images at the next layer.
        """
        for place, fault in enumerate(faults):
            start, later = batch.start_steps[fault.step], faults[place + 1 :]
            if start < fault.step or self._staged.steps[fault.step].name not in batch.kept:
                return FaultFront(start, self._golden.values_at(batch, start), None), ()
            last = later[0].step if later else len(self._staged.steps)
            if (front := self._front_of(batch, fault, last, compares=compares)) is not None:
                return front, later
        return None, ()

    def _front_of(self, batch: ImageBatch, fault: FaultedStep, last: int, *, compares: bool) -> FaultFront | None:
        """Return the front of a fault at the next layer or at the last step, None if it affects no image there."""
        values, name = self._golden.values_at(batch, fault.step), self._staged.steps[fault.step].name
        golden, cut = batch.values[name], min(self.next_layers[fault.step + 1], last)
        channels, comparable = self._first_fault.channels(fault, values, golden), compares and self._pays(batch, cut)
        if channels is not None and not len(channels.index):
            return None
        if comparable and channels is not None and (carried := self._first_fault.carry(fault, channels, cut)):
            return self._spliced_front(batch, cut, *carried)
        output = self._first_fault.output(fault, values, golden, channels)
        if output is golden:
            return None
        behind = {**self._golden.values_at(batch, fault.step + 1, without=name), name: output}
        if not comparable:
            return FaultFront(fault.step + 1, behind, None)
        at_cut = self._staged.run_until(cut, fault.step + 1, behind)
        affected = ~equal_rows(at_cut, self._golden.values_at(batch, cut))
        return FaultFront(cut, at_cut, affected) if bool(affected.any()) else None

    def _spliced_front(self, batch: ImageBatch, cut: int, name: str, channels: ChannelValues) -> FaultFront | None:
        """Return the front at a step where only these channels of one value may differ from the golden run."""
        golden = batch.values[name]
        affected = ~equal_rows({name: channels.values}, {name: channels.of(golden)})
        if not bool(affected.any()):
            return None
        return FaultFront(cut, {**self._golden.values_at(batch, cut), name: channels.put_into(golden)}, affected)

    def _logits_behind(self, batch: ImageBatch, front: FaultFront, later: Sequence[FaultedStep]) -> Tensor:
        """Return the logits of a batch that is run on from a front, with the later faults."""
        if front.affected is None or batch.logits is None:
            return self._staged.resume(front.step, front.values)[0]
        rows, others = rows_to_run(front.affected, N_PARTS)
        if not len(others) or not self._golden.equal_apart(front.step, rows, others):
            return self._staged.resume(front.step, front.values)[0]
        apart = self._staged.resume(front.step, RowSelection(front.values, rows))[0]
        logits = batch.logits.index_copy(0, rows, apart)
        if later:
            logits.index_copy_(0, others, self.logits(self._golden.part_of(batch, others), later))
        return logits

    def _pays(self, batch: ImageBatch, cut: int) -> bool:
        """Return whether comparing images with their golden values at a step is possible and saves time."""
        if self._costs is None or batch.logits is None or self._staged.input in self._staged.needed[cut]:
            return False
        rest_s = sum(self._costs.seconds[cut:]) * len(batch.images) / self._golden.n_rows
        return rest_s > COMPARISON_S and self._golden.has_rows_at(batch, cut)
