"""Tensors as a file describes them: type, shape and place of their bytes; values are read on demand."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

MOST_DIMENSIONS = 64


class UnreadableError(ValueError):
    """Error in a file of weights; its text follows "cannot be read as weights"."""


@dataclass(frozen=True)
class Storage:
    """Bytes that tensors share; parts gets the bytes of each key when the file's pickle has been read."""

    key: str
    dtype: torch.dtype | None
    """Type of the values; None if each tensor has its own."""
    n_bytes: int
    """Number of bytes that the file claims."""
    parts: Mapping[str, memoryview] = field(repr=False)
    byteorder: str = sys.byteorder

    def bytes(self, start: int, stop: int) -> bytearray:
        """Return a copy of a range of the bytes; UnreadableError if the file has fewer than it claims."""
        part = self.parts.get(self.key)
        if part is None:
            raise UnreadableError(f"its pickle names a storage that the file lacks: {self.key[:20]!r}")
        if len(part) < self.n_bytes:
            raise UnreadableError(f"it claims a storage of {self.n_bytes:,} bytes, and holds {len(part):,} of them")
        return bytearray(part[start:stop])


@dataclass(frozen=True)
class FileTensor:
    """Tensor as a file describes it."""

    dtype: torch.dtype | None
    """Type of the values; None for a kind of tensor that has no plain one."""
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: Storage | None = None
    oddity: str = ""
    """Kind of a tensor that is not plain, such as "sparse"; it has no values to read."""

    def __post_init__(self) -> None:
        require_counts(self.shape)
        require_counts((*self.stride, self.offset))
        if self.storage is not None and (len(self.shape) != len(self.stride) or self._stop > self.storage.n_bytes):
            raise UnreadableError("it holds a tensor that reaches beyond its own bytes")

    def values(self) -> Tensor:
        """Return the tensor's values, contiguous; the caller limits their size by the shape."""
        if self.storage is None or self.dtype is None:
            raise UnreadableError(f"it holds no values of a {self.oddity} tensor")
        if not self._is_filled:
            return torch.empty(self.shape, dtype=self.dtype)
        data = self.storage.bytes(self.offset * self.dtype.itemsize, self._stop)
        if self.storage.byteorder != sys.byteorder:
            data = bytearray(np.frombuffer(data, f"u{self.dtype.itemsize}").byteswap().tobytes())
        flat = torch.frombuffer(data, dtype=self.dtype)
        return flat.as_strided(self.shape, self.stride).contiguous()

    @property
    def n_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * (1 if self.dtype is None else self.dtype.itemsize)

    @property
    def _is_filled(self) -> bool:
        return all(self.shape)

    @property
    def _stop(self) -> int:
        """Offset in the storage, in bytes, of the end of the tensor's last value."""
        if self.dtype is None or not self._is_filled:
            return 0
        last = sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=False))
        return (self.offset + last + 1) * self.dtype.itemsize


def require_counts(numbers: Sequence[object]) -> None:
    """Raise UnreadableError unless numbers can be sizes of a tensor: not too many, none below 0 or beyond 64 bits."""
    if len(numbers) > MOST_DIMENSIONS or any(type(n) is not int or not 0 <= n < 2**63 for n in numbers):
        raise UnreadableError("it holds a tensor whose sizes are no counts")


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a row-major tensor."""
    strides = [1]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * max(n, 1))
    return tuple(reversed(strides)) if shape else ()
