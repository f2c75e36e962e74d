"""The memory that faults can hit: stored tensors laid end to end, every bit with one address."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.memory.formats.codec import Codec


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """Named tensor of the memory, with the number format of its words.

    name is the state-dict name of a weight, "bounds.<site>" of a bound; random streams are keyed by it.
    tensor is the live float32 parameter: an injection writes into it and restores it.
    """

    name: str
    tensor: Tensor
    codec: Codec
    target_bits: tuple[int, int] | None = None
    """First and last bit of a word that faults can hit; None means all bits."""

    @property
    def n_bits(self) -> int:
        """Bits of memory that the tensor occupies."""
        return self.tensor.numel() * self.codec.bits

    @property
    def n_target_bits(self) -> int:
        """Bits of memory that faults can hit."""
        first, last = self._targeted
        return self.tensor.numel() * (last - first + 1)

    @property
    def bits_hit(self) -> range:
        """The bits of a word that faults can hit."""
        first, last = self._targeted
        return range(first, last + 1)

    def addresses(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return addresses within the tensor for positions that count the bits that faults can hit, from 0."""
        first, last = self._targeted
        if last - first + 1 == self.codec.bits:
            return positions
        word, bit = np.divmod(positions, last - first + 1)
        return word * self.codec.bits + first + bit

    @property
    def _targeted(self) -> tuple[int, int]:
        return self.target_bits or (0, self.codec.bits - 1)


class Location(NamedTuple):
    """Tensor, word and bit of addresses: three int64 arrays with one entry per address."""

    tensor: NDArray[np.int64]
    """Index into `FaultSpace.stored`."""
    word: NDArray[np.int64]
    """Row-major index of the value in the tensor's shape, in every memory layout."""
    bit: NDArray[np.int64]
    """Bit of the word; 0 is the least significant one."""


class FaultSpace:
    """Memory that faults can hit: tensors in order of execution as one row of bits.

    The address of a bit is its tensor's offset + word·bits + bit.

    A tensor that is given twice (tied weights) is one piece of memory and counts once, under its first name.
    ValueError for a name given twice, for a tensor that is not float32 or not one unbroken piece of memory, and for
    tensors that share only a part of their memory.
    """

    stored: tuple[StoredTensor, ...]
    offsets: NDArray[np.int64]
    """First address of every stored tensor, followed by n_bits."""
    n_bits: int
    n_target_bits: int
    """Number of bits that faults can hit, at most n_bits."""
    targets: tuple[tuple[StoredTensor, int, int], ...]
    """Every stored tensor, its first address and its number of bits that faults can hit; read by every draw."""

    def __init__(self, stored: Sequence[StoredTensor]) -> None:
        _refuse_repeated_names(stored)
        for item in stored:
            _refuse_unfit(item)
        self.stored = tuple(_without_ties(stored))
        _refuse_overlaps(self.stored)
        self.offsets = np.cumsum([0, *(item.n_bits for item in self.stored)], dtype=np.int64)
        self.n_bits = int(self.offsets[-1])
        self.n_target_bits = sum(item.n_target_bits for item in self.stored)
        self.targets = tuple(
            (item, offset, item.n_target_bits) for item, offset in zip(self.stored, self.offsets.tolist(), strict=False)
        )
        self._word_bits = np.array([item.codec.bits for item in self.stored], dtype=np.int64)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Range of addresses of every stored tensor, in the order of `stored`."""
        return tuple(slice(start, stop) for start, stop in pairwise(self.offsets.tolist()))

    def locate(self, addresses: NDArray[np.int64]) -> Location:
        """Return the stored tensor, word and bit of every address; ValueError for an address outside the space.

        Addresses may be in any order.
        """
        outside = addresses[(addresses < 0) | (addresses >= self.n_bits)]
        if len(outside):
            raise ValueError(f"address {outside[0]} is outside the fault space of {self.n_bits} bits")
        tensor = np.searchsorted(self.offsets, addresses, side="right") - 1
        word, bit = np.divmod(addresses - self.offsets[tensor], self._word_bits[tensor])
        return Location(tensor, word, bit)


def _refuse_repeated_names(stored: Iterable[StoredTensor]) -> None:
    repeated = [name for name, n_given in Counter(item.name for item in stored).items() if n_given > 1]
    if repeated:
        raise ValueError(f"names of stored tensors given twice: {', '.join(repeated)}")


def _refuse_unfit(item: StoredTensor) -> None:
    first, last = item.target_bits or (0, 0)
    if not 0 <= first <= last < item.codec.bits:
        raise ValueError(f"stored tensor {item.name!r}: bits {first} to {last} of a {item.codec.bits}-bit word")
    if item.tensor.dtype != torch.float32:
        raise ValueError(f"stored tensor {item.name!r} is {item.tensor.dtype}; only float32 is read from memory")
    if not _is_unbroken(item.tensor):
        raise ValueError(f"stored tensor {item.name!r} is not one unbroken piece of memory; store a copy")


def _is_unbroken(tensor: Tensor) -> bool:
    # From the fastest dimension on, each stride is the product of the faster sizes: no gaps, no overlaps.
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return tensor.numel() == 0
        expected *= size
    return True


def _without_ties(stored: Iterable[StoredTensor]) -> Iterable[StoredTensor]:
    first: dict[tuple[torch.device, int, int], StoredTensor] = {}
    for item in stored:
        first.setdefault((item.tensor.device, item.tensor.data_ptr(), item.tensor.numel()), item)
    return first.values()


def _refuse_overlaps(stored: Iterable[StoredTensor]) -> None:
    spans = sorted((str(item.tensor.device), item.tensor.data_ptr(), item.tensor.nbytes, item.name) for item in stored)
    for (device, start, n_bytes, name), (next_device, next_start, _, next_name) in pairwise(spans):
        if device == next_device and next_start < start + n_bytes:
            raise ValueError(f"stored tensors {name!r} and {next_name!r} share a part of their memory")
