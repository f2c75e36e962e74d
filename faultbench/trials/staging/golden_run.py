"""The golden run of a network with values kept of it, and faulted runs that begin where a fault is first felt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.network import Network, Site
from faultbench.system.devices import finish
from faultbench.trials.staging.first_fault import Channels, Faulted, FirstFault
from faultbench.trials.staging.image_batches import Part, Reached, decoded
from faultbench.trials.staging.kept_values import beginnings, expected_s, kept_values
from faultbench.trials.staging.replaced_site import Replaced
from faultbench.trials.staging.shared_walks import SharedWalks, walked
from faultbench.trials.staging.staged_network import StagedNetwork, Values
from faultbench.trials.staging.step_costs import N_TIMINGS, Costs, measured_costs, storages, writes_in_place
from faultbench.trials.staging.value_rows import (
    LEAST,
    LOGITS,
    Picked,
    Rows,
    alike,
    have_rows,
    rows_at,
    sizes_apart,
    together,
)

N_PARTS = 8
"""Images that feel a fault are run apart from the others in multiples of this part of a batch."""

COMPARED = 2
"""Images are compared behind a site where what follows takes at least so many times as long as getting there."""

COMPARING_S = 1e-3
"""Finding the images that feel a fault may take so long: what follows must take longer."""


@dataclass(frozen=True)
class Staging:
    """How much memory values of the golden run may take, and fault maps like those of the trials to come."""

    memory_bytes: int = 0
    sample: Sequence[FaultMap] = field(default_factory=tuple)


WHOLE_RUNS = Staging()
"""Nothing is kept: every run is a whole one."""


class GoldenRun:
    """A network over fixed batches of images, its fault-free run done; faulted runs equal whole ones, bit for bit.

    Values of the fault-free run are kept at a few steps. A faulted run of a batch begins at the last such step
    before its first fault; where the output of a faulted step is kept as well, only the channels hit are computed.
    Images that have the golden values again at the next layer go on to the next fault, and the others alone are run
    on. A run of some of the images begins at rows of the kept values, as far as a golden run of as many images has
    shown that these do not depend on which images run together.

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
        self._staged, self._batches = StagedNetwork(network), images.batches(batch)
        self._images, self._batch_size = images, batch
        self._exact: dict[int, frozenset[str]] = {}
        self._costs: Costs | None = None
        first = decoded(self._batches[0])
        if staging.memory_bytes and not writes_in_place(self._staged, first):
            n_timings = N_TIMINGS if changing is None else 1  # a search meets many networks, each of them briefly
            self._costs = measured_costs(self._staged, network, first, n_images=len(images), n_timings=n_timings)
        self._first = FirstFault(self._staged, space, self._costs, len(self._batches[0]))
        self._changing = None if changing is None else self._staged.step_of(network.slot(changing))
        can_share = self._costs is not None and changing is None
        self._walks = SharedWalks(self._staged, space, self._first.readers) if can_share else None
        self._kept = self._chosen(staging)
        self._begin = beginnings(self._staged.needed, self._kept)
        started = perf_counter()
        self._values, self.logits = self._run(tuple(sorted(self._kept - {self._staged.input})))
        finish(first.device)
        self.seconds = perf_counter() - started
        n_rows = len(self._batches[0])
        self._by_rows = {name for name, value in self._values[0].items() if have_rows({name: value}, n_rows)}
        self._next_layers = self._staged.next_layers(self._costs.bounding if self._costs else ())
        self._replaced = None if changing is None else self._replacing(staging.memory_bytes)
        if changing is None and self._kept - {self._staged.input}:
            self._try_sizes()

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
        trials = [[fault.step for fault in self._first.faults(fault_map)] for fault_map in sample]
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
        faults = self._first.faults(fault_map)
        replaced = self._replaced if self._changing is not None and faults[-1].step < self._changing else None
        if replaced is None or parts[0].values is not self._values[0]:
            return [self._of(part, faults) for part in parts]
        key = fault_map.digest
        return [replaced.logits(key, n, partial(self._before_site, part, faults)) for n, part in enumerate(parts)]

    @torch.inference_mode()
    def shared(self, fault_maps: Sequence[FaultMap], rows: Tensor) -> Tensor | None:
        """The logits of trials that have flips and look at as many images each, one after the other.

        rows are the indices of these images, ascending in a trial. No flip may be in memory. None where trials of
        such a network, of so many images or so many together share nothing: each is then for `faulted`.
        """
        images, n_images = self._images.chosen(rows), len(rows) // len(fault_maps)
        sharing = None if self._walks is None else self._walks.sharing(images, n_images)
        if self._walks is None or sharing is None:
            return None
        exact = self._part(rows[:n_images]).kept
        begin, faults = beginnings(self._staged.needed, exact), self._walks.faults(fault_maps)
        gathered = Rows(self._values, self.logits, rows, self._batch_size)
        part = Part(images, exact, begin, gathered, None)
        first = begin[min(min(steps) for steps in faults)]
        values = self._at(part, first)
        return walked(self._staged, sharing, first, values, faults) if sharing.can_begin(values) else None

    @torch.inference_mode()
    def changed(self) -> None:
        """Do the golden run again from the changing site on, with the module that stands there now."""
        if self._changing is None or self._replaced is None:
            begin = 0 if self._changing is None else self._begin[self._changing]
            self.logits = [self._resumed(part, begin) for part in self.parts()]
        else:
            self.logits = self._replaced.stand([self._at(part, self._changing) for part in self.parts()])

    @torch.inference_mode()
    def _replacing(self, memory_bytes: int) -> Replaced | None:
        """What remembers runs past the changing site, where what it reads is kept; None where it is not."""
        site = self._changing
        if site is None or self._costs is None or self._begin[site] < site:
            return None
        cut, seconds = self._next_layers[site + 1], self._costs.seconds
        drops = sum(seconds[cut:]) > COMPARED * sum(seconds[site:cut])
        replaced = Replaced(self._staged, site, cut, room_bytes=memory_bytes - self.kept_bytes, drops=drops)
        replaced.try_sizes([self._at(part, site) for part in self.parts()], self.logits)
        return replaced

    @torch.inference_mode()
    def _try_sizes(self) -> None:
        """Learn which of the kept values images of a batch give as well when fewer of them run together."""
        n_images = len(self._images)
        for n_rows in {n for images in self._batches for n in sizes_apart(len(images), N_PARTS)}:
            self._part(torch.arange(n_images - n_rows, n_images))

    def _chosen(self, staging: Staging) -> frozenset[str]:
        if self._costs is None:
            return frozenset()
        last = len(self._staged.steps) if self._changing is None else self._changing
        trials = [[min(fault.step, last) for fault in self._first.faults(fault_map)] for fault_map in staging.sample]
        later = {node.name for node in self._staged.steps[last:]}
        return kept_values(self._costs, trials, staging.memory_bytes) - later

    @torch.inference_mode()
    def _run(self, kept: tuple[str, ...]) -> tuple[list[dict[str, Any]], list[Tensor]]:
        inputs = ({self._staged.input: decoded(images)} for images in self._batches)
        found = [self._staged.resume(0, values, kept) for values in inputs]
        return [values for _, values in found], [logits for logits, _ in found]

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
        logits, values = self._staged.resume(0, {self._staged.input: decoded(images)}, names)
        same = {name for name, value in {**values, LOGITS: logits}.items() if gathered.is_alike(name, value)}
        return frozenset(same) | (self._kept & {self._staged.input})

    def _of(self, part: Part, faults: Sequence[Faulted]) -> Tensor:
        reached, later = self._first_felt(part, faults, compares=True)
        if reached is not None:
            return self._behind(part, reached, later)
        return self._resumed(part, part.begin[faults[0].step]) if part.logits is None else part.logits

    def _before_site(self, part: Part, faults: Sequence[Faulted]) -> Values:
        """The values that the changing site's step reads when faults lie before it alone."""
        assert self._changing is not None
        reached, _ = self._first_felt(part, faults, compares=False)
        if reached is None:
            return self._at(part, self._changing)
        return self._staged.until(self._changing, reached.step, reached.values)

    def _first_felt(
        self, part: Part, faults: Sequence[Faulted], *, compares: bool
    ) -> tuple[Reached | None, Sequence[Faulted]]:
        """How far the first fault that is felt comes, None where none is, and the faults after it.

        Where its step's output is not kept, that is to where a run begins. compares says whether to look which images
        feel it at the next layer.
        """
        for place, fault in enumerate(faults):
            begin, later = part.begin[fault.step], faults[place + 1 :]
            if begin < fault.step or self._staged.steps[fault.step].name not in part.kept:
                return Reached(begin, self._at(part, begin), None), ()
            last = later[0].step if later else len(self._staged.steps)
            if (reached := self._reached(part, fault, last, compares=compares)) is not None:
                return reached, later
        return None, ()

    def _reached(self, part: Part, fault: Faulted, last: int, *, compares: bool) -> Reached | None:
        """How far a fault comes before the next layer or the last step given; None where no image feels it there."""
        values, made = self._at(part, fault.step), self._staged.steps[fault.step].name
        golden, cut = part.values[made], min(self._next_layers[fault.step + 1], last)
        channels, comparable = self._first.channels(fault, values, golden), compares and self._comparable(part, cut)
        if channels is not None and not len(channels.where):
            return None
        if comparable and channels is not None and (past := self._first.past(fault, channels, cut)):
            return self._spliced(part, cut, *past)
        output = self._first.output(fault, values, golden, channels)
        if output is golden:
            return None
        behind = {**self._at(part, fault.step + 1, but=made), made: output}
        if not comparable:
            return Reached(fault.step + 1, behind, None)
        at_cut = self._staged.until(cut, fault.step + 1, behind)
        felt = ~alike(at_cut, self._at(part, cut))
        return Reached(cut, at_cut, felt) if bool(felt.any()) else None

    def _spliced(self, part: Part, cut: int, name: str, channels: Channels) -> Reached | None:
        golden = part.values[name]
        felt = ~alike({name: channels.values}, {name: channels.of(golden)})
        if not bool(felt.any()):
            return None
        return Reached(cut, {**self._at(part, cut), name: channels.put_into(golden)}, felt)

    def _behind(self, part: Part, reached: Reached, later: Sequence[Faulted]) -> Tensor:
        """The logits of a part from what a fault has reached on."""
        if reached.felt is None or part.logits is None:
            return self._staged.resume(reached.step, reached.values)[0]
        rows, others = together(reached.felt, N_PARTS)
        if not len(others) or not self._run_apart(reached.step, rows, others):
            return self._staged.resume(reached.step, reached.values)[0]
        alone = self._staged.resume(reached.step, Picked(reached.values, rows))[0]
        logits = part.logits.index_copy(0, rows, alone)
        if later:
            logits.index_copy_(0, others, self._of(self._picked(part, others), later))
        return logits

    def _comparable(self, part: Part, cut: int) -> bool:
        """Whether images may be told by their golden values at a step, and what follows is worth it."""
        if self._costs is None or part.logits is None or self._staged.input in self._staged.needed[cut]:
            return False
        rest_s = sum(self._costs.seconds[cut:]) * len(part.images) / len(self._batches[0])
        return rest_s > COMPARING_S and self._by_rows & part.kept >= set(self._staged.needed[cut])

    def _run_apart(self, cut: int, *groups: Tensor) -> bool:
        """Whether groups of so many images are known to give from a step on what they give among all."""
        names = {*self._staged.needed[cut], LOGITS}
        return all(len(rows) >= LEAST and names <= self._exact.get(len(rows), frozenset()) for rows in groups)

    def _picked(self, part: Part, rows: Tensor) -> Part:
        kept, logits = part.kept & self._exact[len(rows)], None if part.logits is None else rows_at(part.logits, rows)
        begin, images = beginnings(self._staged.needed, kept), part.images.chosen(rows)
        return Part(images, kept, begin, Picked(part.values, rows), logits)

    def _resumed(self, part: Part, step: int) -> Tensor:
        """The logits of a part when it is run from a step on that its kept values reach."""
        return self._staged.resume(step, self._at(part, step))[0]

    def _at(self, part: Part, step: int, *, but: str | None = None) -> Values:
        """The values that a run from this step reads, one left out that is put in its place."""
        names = [name for name in self._staged.needed[step] if name not in (self._staged.input, but)]
        values = {name: part.values[name] for name in names}
        if self._staged.input in self._staged.needed[step]:
            values[self._staged.input] = decoded(part.images)
        return values
