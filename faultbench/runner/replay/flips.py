"""The flips of a trial as people read them: tensor, index, bit, direction, value before and after."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.injection import injected


@dataclass(frozen=True)
class Flip:
    """One inverted bit; after is what the word means with all of the trial's flips of it."""

    address: int
    tensor: str
    index: tuple[int, ...]
    bit: int
    """0 is the least significant."""
    rises: bool
    """0→1, or 1→0."""
    before: float
    after: float

    @property
    def change(self) -> float:
        """How far the value moved; infinite where it is not finite any more."""
        moved = abs(self.after - self.before)
        return moved if math.isfinite(moved) else math.inf


def flips_of(space: FaultSpace, fault_map: FaultMap) -> list[Flip]:
    """The flips in the order of their addresses; nothing may be injected yet."""
    place = space.locate(fault_map.addresses)
    located = list(zip(*(axis.tolist() for axis in place), strict=True))
    hit = sorted({tensor for tensor, _, _ in located})
    before = {tensor: _read(space.stored[tensor].tensor) for tensor in hit}
    with injected(space, fault_map):
        after = {tensor: _read(space.stored[tensor].tensor) for tensor in hit}
    return [
        Flip(
            address=address,
            tensor=space.stored[tensor].name,
            index=tuple(map(int, np.unravel_index(word, space.stored[tensor].tensor.shape))),
            bit=bit,
            rises=not (int(space.stored[tensor].codec.encode(before[tensor][word : word + 1])) >> bit) & 1,
            before=float(before[tensor][word]),
            after=float(after[tensor][word]),
        )
        for address, (tensor, word, bit) in zip(fault_map.addresses.tolist(), located, strict=True)
    ]


def _read(tensor: Tensor) -> Tensor:
    """A copy of the values in row-major order, as words are counted."""
    return torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format).reshape(-1)
