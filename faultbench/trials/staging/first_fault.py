"""What the first faulted step of a run makes of golden values, at the least cost."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.memory_layout import REORDERS
from faultbench.trials.staging.channel_splicing import (
    Splicer,
    channels_at,
    channels_of,
    n_blocks,
    same_bits,
    spliceable,
)
from faultbench.trials.staging.staged_network import StagedNetwork, Values
from faultbench.trials.staging.step_costs import Costs

WORTHWHILE = 0.9
"""Channels are recomputed alone where that takes less than this share of the whole layer's time."""

SPLICING_S = 1e-4
"""Choosing and putting in channels takes so long whatever the number of images."""


@dataclass(frozen=True)
class Faulted:
    """A step that reads faulted memory, and the words hit there, by the index of their stored tensor."""

    step: int
    words: Mapping[int, NDArray[np.int64]]


@dataclass(frozen=True)
class Channels:
    """Some channels of a value, and which of its channels they are, ascending."""

    values: Tensor
    where: Tensor

    def of(self, golden: Tensor) -> Tensor:
        """The same channels of another value."""
        return channels_at(golden, self.where)

    def put_into(self, golden: Tensor) -> Tensor:
        """A copy of another value with these channels put in."""
        return golden.clone().index_copy_(1, self.where, self.values)


class FirstFault:
    """Finds the faulted steps and runs the first of them; costs were measured on n_images."""

    def __init__(self, staged: StagedNetwork, space: FaultSpace, costs: Costs | None, n_images: int) -> None:
        self._staged, self._space, self._costs, self._n_images = staged, space, costs, n_images
        self.readers = [staged.readers.get(item.tensor.data_ptr(), (0,)) for item in space.stored]
        self._splicer = Splicer()

    def faults(self, fault_map: FaultMap) -> list[Faulted]:
        """The steps that read what is hit, ascending."""
        found: dict[int, dict[int, NDArray[np.int64]]] = {}
        # Addresses and offsets ascend: this finds the flips of every tensor without looking at each of them.
        cuts = np.searchsorted(fault_map.addresses, self._space.offsets)
        for index in np.flatnonzero(np.diff(cuts)).tolist():
            within = fault_map.addresses[cuts[index] : cuts[index + 1]] - self._space.offsets[index]
            for step in self.readers[index]:
                found.setdefault(step, {})[index] = within // self._space.stored[index].codec.bits
        return [Faulted(step, found[step]) for step in sorted(found)]

    def output(self, fault: Faulted, values: Values, golden: Tensor, channels: Channels | None) -> Tensor:
        """What the step makes of golden values, channels as found: golden itself where no value of it differs."""
        if channels is not None:
            return channels.put_into(golden) if len(channels.where) else golden
        output = self._staged.apply(fault.step, values)
        unfelt = self._costs is not None and fault.step in self._costs.bounding and same_bits(output, golden)
        return golden if unfelt else output

    def channels(self, fault: Faulted, values: Values, golden: Tensor) -> Channels | None:
        """The channels that were hit, none if golden has their bits; None where the step is better run whole."""
        layer = self._staged.module(fault.step)
        if self._costs is None or fault.step not in self._costs.spliced_s or not spliceable(layer):
            return None
        hit = [channels_of(self._space.stored[index].tensor, words) for index, words in fault.words.items()]
        channels = np.unique(np.concatenate(hit))
        whole_s = self._costs.seconds[fault.step]
        spliced_s = n_blocks(len(channels)) * self._costs.spliced_s[fault.step]
        x = values[self._staged.reads(fault.step)[0]]
        saved_s = (whole_s - spliced_s) * len(x) / self._n_images
        if spliced_s > WORTHWHILE * whole_s or saved_s < SPLICING_S:
            return None
        found = self._splicer.channels(layer, x, golden, channels)
        return None if found is None else Channels(*found)

    def past(self, fault: Faulted, channels: Channels, cut: int) -> tuple[str, Channels] | None:
        """Those channels once they come to a later step, and the value's name there.

        None unless the steps between take one channel after another: a ReLU, a maximum pooled, another order in memory.
        """
        name, values = self._staged.steps[fault.step].name, channels.values
        for step in range(fault.step + 1, cut):
            module = self._staged.module(step)
            reorders = REORDERS in self._staged.steps[step].meta
            if self._staged.reads(step) != [name] or not (reorders or _by_channel(module)):
                return None
            name = self._staged.steps[step].name
            values = values if module is None else module(values)
        is_alone = set(self._staged.needed[cut]) - set(self._staged.needed[fault.step + 1]) <= {name}
        return (name, Channels(values, channels.where)) if is_alone and name in self._staged.needed[cut] else None


def _by_channel(module: nn.Module | None) -> bool:
    # A class derived from these may do something else.
    return type(module) in (nn.ReLU, nn.MaxPool2d, nn.Dropout, nn.Identity)
