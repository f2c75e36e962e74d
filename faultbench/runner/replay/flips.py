"""Flips of a trial for people: tensor, index, bit, direction, value before and after."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.injection import inject_faults


@dataclass(frozen=True)
class Flip:
    """Inverted bit; after is the value of its word with all of the trial's flips in it."""

    address: int
    tensor: str
    index: tuple[int, ...]
    bit: int
    """0 is the least significant."""
    rises: bool
    """Whether the bit changes from 0 to 1; otherwise it changes from 1 to 0."""
    before: float
    after: float

    @property
    def change(self) -> float:
        """Distance that the value moved; infinite if the value is no longer finite."""
        moved = abs(self.after - self.before)
        return moved if math.isfinite(moved) else math.inf


def flips_of(space: FaultSpace, fault_map: FaultMap) -> list[Flip]:
    """Return the flips in the order of their addresses; no faults may be injected yet."""
    place = space.locate(fault_map.addresses)
    located = list(zip(*(axis.tolist() for axis in place), strict=True))
    hit = sorted({tensor for tensor, _, _ in located})
    before = {tensor: _read(space.stored[tensor].tensor) for tensor in hit}
    with inject_faults(space, fault_map):
        after = {tensor: _read(space.stored[tensor].tensor) for tensor in hit}
    return [
        _flip(address, space.stored[tensor], word, bit, before[tensor], after[tensor])
        for address, (tensor, word, bit) in zip(fault_map.addresses.tolist(), located, strict=True)
    ]


def _flip(address: int, stored: StoredTensor, word: int, bit: int, before: Tensor, after: Tensor) -> Flip:
    """Return the flip of a bit of a stored tensor; before and after are the tensor's values, flat."""
    return Flip(
        address=address,
        tensor=stored.name,
        index=tuple(map(int, np.unravel_index(word, stored.tensor.shape))),
        bit=bit,
        rises=not (int(stored.codec.encode(before[word : word + 1])) >> bit) & 1,
        before=float(before[word]),
        after=float(after[word]),
    )


def _read(tensor: Tensor) -> Tensor:
    """Return a copy of the values in row-major order, in which words are counted."""
    return torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format).reshape(-1)
