"""Golden run for a search that puts one module after another at a site of the network."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.network import Network, Site
from faultbench.trials.staging.golden_run import GoldenRun, Staging
from faultbench.trials.staging.image_batches import ImageBatch
from faultbench.trials.staging.replaced_site import ReplacedSite
from faultbench.trials.staging.staged_network import StagedNetwork

MIN_WORK_RATIO = 2
"""Images are compared behind the site if the steps after the comparison take at least this times those before it."""


class SearchGoldenRun(GoldenRun):
    """Golden run of a network at one of whose sites the module is replaced between runs.

    No value made at the site or later is kept. Runs with faults before the site reuse what they learnt with earlier
    modules (`ReplacedSite`).
    """

    def __init__(
        self, network: Network, space: FaultSpace, images: Images, batch: int, staging: Staging, *, site: Site
    ) -> None:
        self._step = StagedNetwork(network).step_of(network.slot(site))
        # One timing is enough: a search meets many networks and uses each of them briefly.
        super().__init__(network, space, images, batch, staging, n_timings=1, replaced_step=self._step)
        self._replaced = self._replaced_site(staging.memory_bytes)

    @torch.inference_mode()
    def faulted_logits(self, fault_map: FaultMap, batches: Sequence[ImageBatch]) -> list[Tensor]:
        """Return the logits of each batch. These flips must be in memory."""
        faults = self._first_fault.faulted_steps(fault_map)
        replaced = self._replaced if faults[-1].step < self._step else None
        if replaced is None or not self._golden.are_all(batches):
            return [self._runs.logits(batch, faults) for batch in batches]
        inputs = [partial(self._runs.values_at, self._step, batch, faults) for batch in batches]
        return [replaced.logits(fault_map.digest, number, values) for number, values in enumerate(inputs)]

    @torch.inference_mode()
    def rerun(self) -> None:
        """Repeat the golden run from the site on, with the module that is there now."""
        batches = self._golden.all_batches()
        if self._replaced is None:
            self._golden.logits = [self._golden.logits_from(batch, batch.start_steps[self._step]) for batch in batches]
        else:
            inputs = [self._golden.values_at(batch, self._step) for batch in batches]
            self._golden.logits = self._replaced.rerun_golden(inputs)

    @torch.inference_mode()
    def _replaced_site(self, memory_bytes: int) -> ReplacedSite | None:
        """Return the memory of runs past the site, or None if the values that the site reads are not kept."""
        batches = self._golden.all_batches()
        if self.costs is None or batches[0].start_steps[self._step] < self._step:
            return None
        cut, seconds = self._runs.next_layers[self._step + 1], self.costs.seconds
        compares = sum(seconds[cut:]) > MIN_WORK_RATIO * sum(seconds[self._step : cut])
        room_bytes = memory_bytes - self.kept_bytes
        replaced = ReplacedSite(self._staged, self._step, cut, room_bytes=room_bytes, compares=compares)
        replaced.try_sizes([self._golden.values_at(batch, self._step) for batch in batches], self.logits)
        return replaced
