"""Output of the first faulted step of a run, computed from golden values at the least cost."""

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
from faultbench.trials.staging.step_costs import StepCosts

WORTHWHILE = 0.9
"""Channels are computed alone only if that takes less than this share of the whole layer's time."""

SPLICING_S = 1e-4
"""Assumed time to select channels and put them into the output, for any number of images."""


@dataclass(frozen=True)
class FaultedStep:
    """Step that reads faulted memory, and the words hit there, by the index of their stored tensor."""

    step: int
    words: Mapping[int, NDArray[np.int64]]


@dataclass(frozen=True)
class ChannelValues:
    """Some channels of a value, and their indices in it, ascending."""

    values: Tensor
    index: Tensor

    def of(self, golden: Tensor) -> Tensor:
        """Return the same channels of another value."""
        return channels_at(golden, self.index)

    def put_into(self, golden: Tensor) -> Tensor:
        """Return a copy of another value with these channels put in."""
        return golden.clone().index_copy_(1, self.index, self.values)


class FirstFault:
    """Finder of faulted steps that also computes the first one's output; costs were measured on n_images."""

    def __init__(self, staged: StagedNetwork, space: FaultSpace, costs: StepCosts | None, n_images: int) -> None:
        self._staged, self._space, self._costs, self._n_images = staged, space, costs, n_images
        self.readers = [staged.readers.get(item.tensor.data_ptr(), (0,)) for item in space.stored]
        self._splicer = Splicer()

    def faulted_steps(self, fault_map: FaultMap) -> list[FaultedStep]:
        """Return the steps that read a word that is hit, ascending."""
        words: dict[int, dict[int, NDArray[np.int64]]] = {}
        # Addresses and offsets ascend: this finds the flips of every tensor without looking at each of them.
        cuts = np.searchsorted(fault_map.addresses, self._space.offsets)
        for index in np.flatnonzero(np.diff(cuts)).tolist():
            within = fault_map.addresses[cuts[index] : cuts[index + 1]] - self._space.offsets[index]
            for step in self.readers[index]:
                words.setdefault(step, {})[index] = within // self._space.stored[index].codec.bits
        return [FaultedStep(step, words[step]) for step in sorted(words)]

    def output(self, fault: FaultedStep, values: Values, golden: Tensor, channels: ChannelValues | None) -> Tensor:
        """Return the step's output for golden values, or golden itself if no value differs from it.

        channels is what `channels` returned for this fault.
        """
        if channels is not None:
            return channels.put_into(golden) if len(channels.index) else golden
        output = self._staged.run_step(fault.step, values)
        is_bounding = self._costs is not None and fault.step in self._costs.bounding
        return golden if is_bounding and same_bits(output, golden) else output

    def channels(self, fault: FaultedStep, values: Values, golden: Tensor) -> ChannelValues | None:
        """Return the channels that were hit, none if golden has their bits; None if the whole step should run."""
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
        computed = self._splicer.channels(layer, x, golden, channels)
        return None if computed is None else ChannelValues(*computed)

    def carry(self, fault: FaultedStep, channels: ChannelValues, cut: int) -> tuple[str, ChannelValues] | None:
        """Return the channels at a later step, after the name of the value that holds them there.

        None unless each step between treats every channel on its own: a ReLU, max pooling, a change of memory layout.
        """
        name, values = self._staged.steps[fault.step].name, channels.values
        for step in range(fault.step + 1, cut):
            module = self._staged.module(step)
            reorders = REORDERS in self._staged.steps[step].meta
            if self._staged.reads(step) != [name] or not (reorders or _is_by_channel(module)):
                return None
            name = self._staged.steps[step].name
            values = values if module is None else module(values)
        is_alone = set(self._staged.needed[cut]) - set(self._staged.needed[fault.step + 1]) <= {name}
        return (name, ChannelValues(values, channels.index)) if is_alone and name in self._staged.needed[cut] else None


def _is_by_channel(module: nn.Module | None) -> bool:
    # A class derived from these may do something else.
    return type(module) in (nn.ReLU, nn.MaxPool2d, nn.Dropout, nn.Identity)
