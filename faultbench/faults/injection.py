"""Putting a trial's flips into the live tensors, and taking them out again bit for bit."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.faults.fault_map import FaultMap
from faultbench.faults.space import FaultSpace, StoredTensor


@contextmanager
def injected(space: FaultSpace, fault_map: FaultMap) -> Iterator[None]:
    """Inside the block the space's tensors read as if their memory had these flips; after it, as before.

    A value hit is encoded, its word's bits are inverted, and what the word then means is written in place.
    No other value is touched, and autograd is not told: differentiate inside the block what ran inside it.
    Undone however the block ends. An address outside the space raises ValueError before anything is written.
    """
    with ExitStack() as undo:
        for _, hits in groupby(_hits(space, fault_map), key=lambda hit: (hit.item.codec, hit.item.tensor.device)):
            _flip(list(hits), undo)
        yield


class _Hit(NamedTuple):
    """The words of one tensor that are hit, ascending, and the mask of each word's flips."""

    item: StoredTensor
    words: NDArray[np.int64]
    masks: NDArray[np.int32]


def _hits(space: FaultSpace, fault_map: FaultMap) -> Iterator[_Hit]:
    tensor, word, bit = space.locate(fault_map.addresses)
    # One word hit twice needs one merged mask: an indexed write keeps only the last. Addresses ascend, so the
    # flips of a word are neighbours; they share the address of its bit 0.
    first = np.flatnonzero(np.diff(fault_map.addresses - bit, prepend=-1))
    masks = np.bitwise_or.reduceat(1 << bit, first).astype(np.int32)  # 1 << 31 wraps to the sign bit
    tensor, word = tensor[first], word[first]
    starts = np.flatnonzero(np.diff(tensor, prepend=-1))
    for start, stop in pairwise([*starts.tolist(), len(tensor)]):
        yield _Hit(space.stored[tensor[start]], word[start:stop], masks[start:stop])


def _flip(hits: Sequence[_Hit], undo: ExitStack) -> None:
    """Write the flips of hits that share codec and device; undo is told how before each write.

    One pass through the codec for all of them, since its cost is in the calls. Bits move as int32: copying a
    float may quieten a signalling NaN.
    """
    codec, device = hits[0].item.codec, hits[0].item.tensor.device
    memories = [_memory(hit.item.tensor) for hit in hits]
    positions = [torch.from_numpy(_positions(hit.item.tensor, hit.words)).to(device) for hit in hits]
    before = [memory.index_select(0, where) for memory, where in zip(memories, positions, strict=True)]
    masks = torch.from_numpy(np.concatenate([hit.masks for hit in hits])).to(device)
    words = codec.encode(torch.cat(before).view(torch.float32)) ^ masks
    after = codec.decode(words).to(torch.float32).view(torch.int32)
    parts = torch.split(after, [len(hit.words) for hit in hits])
    for memory, where, old, new in zip(memories, positions, before, parts, strict=True):
        undo.callback(memory.index_copy_, 0, where, old)
        memory.index_copy_(0, where, new)


def _memory(tensor: Tensor) -> Tensor:
    """The tensor's live memory as a row of int32; writing there moves no autograd version counter."""
    return torch.as_strided(tensor.data, (tensor.numel(),), (1,)).view(torch.int32)


def _positions(tensor: Tensor, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in the tensor's memory its row-major words lie: elsewhere in channels-last, for one."""
    if tensor.is_contiguous():
        return words
    positions = np.zeros_like(words)
    for index, stride in zip(np.unravel_index(words, tensor.shape), tensor.stride(), strict=True):
        positions += index * stride
    return positions
