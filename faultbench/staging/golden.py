"""The golden run of a network with values kept of it, and faulted runs that begin where a fault is first felt."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.datasets import Images
from faultbench.devices import finish
from faultbench.faults.fault_map import FaultMap
from faultbench.faults.injection import Patch, patches
from faultbench.faults.space import FaultSpace
from faultbench.network import Network, Site
from faultbench.staging.costs import Costs, measured_costs, storages, writes_in_place
from faultbench.staging.cuts import beginnings, expected_s, kept_values
from faultbench.staging.rows import LOGITS, Rows
from faultbench.staging.shared import walked
from faultbench.staging.sharing import Sharing, found_out
from faultbench.staging.splicing import Splicer, channels_of, n_blocks, same_bits, spliceable
from faultbench.staging.steps import StagedNetwork, Values

WORTHWHILE = 0.9
"""Channels are recomputed alone where that takes less than this share of the whole layer's time."""


SPLICING_S = 1e-4
"""Choosing and putting in channels takes so long whatever the number of images."""


@dataclass(frozen=True)
class Staging:
    """How much memory values of the golden run may take, and fault maps like those of the trials to come."""

    memory_bytes: int = 0
    sample: Sequence[FaultMap] = field(default_factory=tuple)


WHOLE_RUNS = Staging()
"""Nothing is kept: every run is a whole one."""


@dataclass(frozen=True)
class Faulted:
    """A step that reads faulted memory, and the words hit there, by the index of their stored tensor."""

    step: int
    words: Mapping[int, NDArray[np.int64]]


@dataclass(frozen=True)
class Part:
    """Images that run together, and what is kept of their golden run: begin is where a run can, for every step."""

    images: Images
    kept: Collection[str]
    begin: Sequence[int]
    values: Values
    logits: Tensor | None


class GoldenRun:
    """A network over fixed batches of images, its fault-free run done; faulted runs equal whole ones, bit for bit.

    Values of the fault-free run are kept at a few steps. A faulted run of a batch begins at the last such step
    before its first fault; where the output of a faulted step is kept as well, only the channels hit are computed,
    and faults that no image feels are passed over. A run of some of the images begins at rows of the kept values,
    as far as a golden run of as many images has shown that these do not depend on which images run together.

    changing, if given, is a site whose module will be replaced: no value made there or later is kept.
    """

    def __init__(
        self,
        network: Network,
        space: FaultSpace,
        images: Images,
        batch: int,
        staging: Staging,
        *,
        changing: Site | None = None,
    ) -> None:
        self._staged, self._space, self._batches = StagedNetwork(network), space, images.batches(batch)
        self._images, self._batch_size = images, batch
        self._splicer = Splicer()
        self._exact: dict[int, frozenset[str]] = {}
        self._shares: dict[tuple[int, int], Sharing | None] = {}
        self._readers = [self._staged.readers.get(item.tensor.data_ptr(), (0,)) for item in space.stored]
        self._all_read = all(item.tensor.data_ptr() in self._staged.readers for item in space.stored)
        self._costs: Costs | None = None
        first = _input(self._batches[0])
        if staging.memory_bytes and not writes_in_place(self._staged, first):
            self._costs = measured_costs(self._staged, network, first, n_images=len(images))
        self._changing = None if changing is None else self._staged.step_of(network.slot(changing))
        self._kept = self._chosen(staging)
        self._begin = beginnings(self._staged.needed, self._kept)
        started = perf_counter()
        self._values, self.logits = self._run(tuple(sorted(self._kept - {self._staged.input})))
        finish(first.device)
        self.seconds = perf_counter() - started

    @property
    def kept_bytes(self) -> int:
        """Memory that the kept values take."""
        names = self._kept - {self._staged.input}
        found = (sizes for values in self._values for name in names for sizes in storages(values[name]).items())
        return sum(dict(found).values())

    def expected_share(self, sample: Sequence[FaultMap]) -> float:
        """What a trial with fault maps like these is expected to take, as a share of the golden run's time."""
        if self._costs is None:
            return sum(1.0 for fault_map in sample if len(fault_map)) / len(sample)
        trials = [[fault.step for fault in self._faults(fault_map)] for fault_map in sample]
        return expected_s(self._costs, trials, self._kept) / (len(sample) * sum(self._costs.seconds))

    @torch.inference_mode()
    def parts(self, rows: Tensor | None = None) -> list[Part]:
        """The batches of all images, or of those at these indices, ascending; no flip may be in memory."""
        if rows is None:
            of_all = zip(self._batches, self._values, self.logits, strict=True)
            return [Part(images, self._kept, self._begin, values, logits) for images, values, logits in of_all]
        return [self._part(chosen) for chosen in torch.split(rows, self._batch_size)]

    @torch.inference_mode()
    def faulted(self, fault_map: FaultMap, parts: Sequence[Part]) -> list[Tensor]:
        """The logits of every part while these flips are in memory."""
        faults = self._faults(fault_map)
        return [self._of(part, faults) for part in parts]

    @torch.inference_mode()
    def shared(self, fault_maps: Sequence[FaultMap], rows: Tensor) -> Tensor | None:
        """The logits of trials that have flips and look at as many images each, one after the other.

        rows are the indices of these images, ascending in a trial. No flip may be in memory. None where trials of
        such a network, of so many images or so many together share nothing: each is then for `faulted`.
        """
        images, n_images = self._images.chosen(rows), len(rows) // len(fault_maps)
        sharing = self._sharing(images, n_images)
        if sharing is None:
            return None
        exact = self._part(rows[:n_images]).kept
        begin, faults = beginnings(self._staged.needed, exact), self._faults_by_step(fault_maps)
        gathered = Rows(self._values, self.logits, rows, self._batch_size)
        part = Part(images, exact, begin, gathered, None)
        first = begin[min(min(steps) for steps in faults)]
        values = self._at(part, first)
        return walked(self._staged, sharing, first, values, faults) if sharing.can_begin(values) else None

    @torch.inference_mode()
    def changed(self) -> None:
        """Do the golden run again from the changing site on, with the module that stands there now."""
        begin = 0 if self._changing is None else self._begin[self._changing]
        self.logits = [self._resumed(part, begin) for part in self.parts()]

    def _sharing(self, images: Images, n_images: int) -> Sharing | None:
        """How trials of n_images each share a walk over so many images; the first time it finds out on these."""
        shape = (len(images), n_images)
        if shape not in self._shares:
            faulted = {step for steps in self._readers for step in steps}
            can = self._costs is not None and self._changing is None and self._all_read
            can = can and images.stored.device.type == "cpu"  # on a card nothing of it is measured
            found = found_out(self._staged, _input(images), n_images=n_images, faulted=faulted) if can else None
            self._shares[shape] = found if found and found.pays else None
        return self._shares[shape]

    def _faults_by_step(self, fault_maps: Sequence[FaultMap]) -> list[dict[int, list[Patch]]]:
        found: list[dict[int, list[Patch]]] = [{} for _ in fault_maps]
        for of_map, of_tensors in zip(found, patches(self._space, fault_maps), strict=True):
            for index, patch in of_tensors.items():
                for step in self._readers[index]:
                    of_map.setdefault(step, []).append(patch)
        return found

    def _chosen(self, staging: Staging) -> frozenset[str]:
        if self._costs is None:
            return frozenset()
        last = len(self._staged.steps) if self._changing is None else self._changing
        trials = [[min(fault.step, last) for fault in self._faults(fault_map)] for fault_map in staging.sample]
        later = {node.name for node in self._staged.steps[last:]}
        return kept_values(self._costs, trials, staging.memory_bytes) - later

    @torch.inference_mode()
    def _run(self, kept: tuple[str, ...]) -> tuple[list[dict[str, Any]], list[Tensor]]:
        all_values, all_logits = [], []
        for images in self._batches:
            logits, values = self._staged.resume(0, {self._staged.input: _input(images)}, kept)
            all_values.append(values)
            all_logits.append(logits)
        return all_values, all_logits

    def _faults(self, fault_map: FaultMap) -> list[Faulted]:
        """The steps that read what is hit, ascending."""
        found: dict[int, dict[int, NDArray[np.int64]]] = {}
        # Addresses and offsets ascend: this finds the flips of every tensor without looking at each of them.
        cuts = np.searchsorted(fault_map.addresses, self._space.offsets)
        for index in np.flatnonzero(np.diff(cuts)).tolist():
            within = fault_map.addresses[cuts[index] : cuts[index + 1]] - self._space.offsets[index]
            for step in self._readers[index]:
                found.setdefault(step, {})[index] = within // self._space.stored[index].codec.bits
        return [Faulted(step, found[step]) for step in sorted(found)]

    def _part(self, rows: Tensor) -> Part:
        images, gathered = self._images.chosen(rows), Rows(self._values, self.logits, rows, self._batch_size)
        if len(rows) not in self._exact:
            self._exact[len(rows)] = self._same_as_alone(images, gathered)
        exact = self._exact[len(rows)]
        logits = gathered[LOGITS] if LOGITS in exact else None
        return Part(images, exact, beginnings(self._staged.needed, exact), gathered, logits)

    def _same_as_alone(self, images: Images, gathered: Rows) -> frozenset[str]:
        """Those of the kept values that a golden run of these images gives too, bit for bit."""
        names = tuple(sorted(self._kept - {self._staged.input}))
        logits, values = self._staged.resume(0, {self._staged.input: _input(images)}, names)
        same = {name for name, value in {**values, LOGITS: logits}.items() if gathered.is_alike(name, value)}
        return frozenset(same) | (self._kept & {self._staged.input})

    def _of(self, part: Part, faults: Sequence[Faulted]) -> Tensor:
        for fault in faults:
            begin, made = part.begin[fault.step], self._staged.steps[fault.step].name
            if begin < fault.step or made not in part.kept:
                return self._resumed(part, begin)
            values, golden = self._at(part, fault.step), part.values[made]
            output = self._output(fault, values, golden)
            if output is not golden:
                return self._staged.resume(fault.step + 1, {**self._at(part, fault.step + 1, but=made), made: output})[
                    0
                ]
        return self._resumed(part, part.begin[faults[0].step]) if part.logits is None else part.logits

    def _resumed(self, part: Part, step: int) -> Tensor:
        """The logits of a part when it is run from a step on that its kept values reach."""
        return self._staged.resume(step, self._at(part, step))[0]

    def _at(self, part: Part, step: int, *, but: str | None = None) -> Values:
        """The values that a run from this step reads, one left out that is put in its place."""
        names = [name for name in self._staged.needed[step] if name not in (self._staged.input, but)]
        values = {name: part.values[name] for name in names}
        if self._staged.input in self._staged.needed[step]:
            values[self._staged.input] = _input(part.images)
        return values

    def _output(self, fault: Faulted, values: Values, golden: Tensor) -> Tensor:
        """What a faulted step makes of golden values: golden itself where no value of it differs."""
        spliced = self._spliced(fault, values, golden)
        if spliced is not None:
            return spliced
        output = self._staged.apply(fault.step, values)
        unfelt = self._costs is not None and fault.step in self._costs.bounding and same_bits(output, golden)
        return golden if unfelt else output

    def _spliced(self, fault: Faulted, values: Values, golden: Tensor) -> Tensor | None:
        layer = self._staged.module(fault.step)
        if self._costs is None or fault.step not in self._costs.spliced_s or not spliceable(layer):
            return None
        hit = [channels_of(self._space.stored[index].tensor, words) for index, words in fault.words.items()]
        channels = np.unique(np.concatenate(hit))
        whole_s = self._costs.seconds[fault.step]
        spliced_s = n_blocks(len(channels)) * self._costs.spliced_s[fault.step]
        x = values[self._staged.reads(fault.step)[0]]
        saved_s = (whole_s - spliced_s) * len(x) / len(self._batches[0])
        if spliced_s > WORTHWHILE * whole_s or saved_s < SPLICING_S:
            return None
        return self._splicer.output(layer, x, golden, channels)


def _input(images: Images) -> Tensor:
    """The pixels of a batch, decoded where it is needed: in float32 they would take four times the room."""
    return images.pixels.contiguous(memory_format=torch.channels_last)
