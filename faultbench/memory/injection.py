"""Injection of a trial's flips into live tensors, and their exact undo."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.codec import Codec


class Patch(NamedTuple):
    """Change that a fault map makes to one stored tensor: places in its live memory, and the words before and after.

    Bits move as int32: copying a float may quieten a signalling NaN.
    """

    memory: Tensor
    where: Tensor
    before: Tensor
    after: Tensor

    def write(self) -> None:
        """Write the flipped words."""
        self.memory.index_copy_(0, self.where, self.after)

    def undo(self) -> None:
        """Write the words that were there when the patch was made."""
        self.memory.index_copy_(0, self.where, self.before)

    def is_there(self) -> bool:
        """Return whether the memory still holds the flips."""
        return torch.equal(self.memory.index_select(0, self.where), self.after)


@contextmanager
def inject_faults(space: FaultSpace, fault_map: FaultMap) -> Iterator[None]:
    """Flip bits of the space's tensors inside the block, and restore them after it.

    A value that is hit is encoded, bits of its word are inverted, and the value of the new word is written in place. No
    other value is touched. Autograd does not notice the writes: differentiate inside the block what ran inside it. The
    flips are undone however the block ends. ValueError for an address outside the space, before anything is written.
    """
    (of_map,) = make_patches(space, [fault_map])
    with apply_patches(of_map.values()):
        yield


@contextmanager
def apply_patches(patches: Iterable[Patch]) -> Iterator[None]:
    """Write patches for the duration of the block; they are undone however the block ends."""
    with ExitStack() as undo:
        for patch in patches:
            undo.callback(patch.undo)
            patch.write()
        yield


def make_patches(space: FaultSpace, fault_maps: Sequence[FaultMap]) -> list[dict[int, Patch]]:
    """Return for each map the patches of the tensors that it hits, by their index in the space; nothing is written.

    No flip may be in memory. All maps pass through a codec together, since its cost is in the number of calls.
    """
    of_maps: list[dict[int, Patch]] = [{} for _ in fault_maps]
    together: dict[tuple[Codec, torch.device], list[_Hit]] = {}
    for hit in _hits(space, fault_maps):
        item = space.stored[hit.tensor]
        together.setdefault((item.codec, item.tensor.device), []).append(hit)
    for hits in together.values():
        _add_patches(space.stored, hits, of_maps)
    return of_maps


class _Hit(NamedTuple):
    """Words of one tensor that are hit, map by map and ascending in each map, with the mask of each word's flips."""

    tensor: int
    owners: NDArray[np.int64]
    words: NDArray[np.int64]
    masks: NDArray[np.int32]


def _hits(space: FaultSpace, fault_maps: Sequence[FaultMap]) -> Iterator[_Hit]:
    addresses = np.concatenate([np.empty(0, np.int64), *(fault_map.addresses for fault_map in fault_maps)])
    owners = np.arange(len(fault_maps)).repeat([len(fault_map) for fault_map in fault_maps])
    tensors, words, bits = space.locate(addresses)
    # One word hit twice needs one merged mask: an indexed write keeps only the last. Addresses ascend in a map, so
    # the flips of a word are neighbours; they share the address of its bit 0.
    first = np.flatnonzero(_changes(addresses - bits) | _changes(owners))
    masks = np.bitwise_or.reduceat(1 << bits, first).astype(np.int32)  # 1 << 31 wraps to the sign bit
    order = first[np.argsort(tensors[first], kind="stable")]
    place = np.searchsorted(first, order)
    for tensor, rows in _runs(tensors[order]):
        yield _Hit(tensor, owners[order[rows]], words[order[rows]], masks[place[rows]])


def _add_patches(stored: Sequence[StoredTensor], hits: Sequence[_Hit], of_maps: Sequence[dict[int, Patch]]) -> None:
    """Add the patches of tensors that share codec and device to the maps that own the hits."""
    tensors = [stored[hit.tensor].tensor for hit in hits]
    codec, device = stored[hits[0].tensor].codec, tensors[0].device
    memories = [_memory(tensor) for tensor in tensors]
    positions = [_positions(tensor, hit.words) for tensor, hit in zip(tensors, hits, strict=True)]
    n_words = [len(hit.words) for hit in hits]
    places = torch.split(torch.from_numpy(np.concatenate(positions)).to(device), n_words)  # one transfer to a card
    before = [memory.index_select(0, where) for memory, where in zip(memories, places, strict=True)]
    masks = torch.from_numpy(np.concatenate([hit.masks for hit in hits])).to(device)
    words = codec.encode(torch.cat(before).view(torch.float32)) ^ masks
    after = torch.split(codec.decode(words).to(torch.float32).view(torch.int32), n_words)
    for hit, memory, where, old, new in zip(hits, memories, places, before, after, strict=True):
        for owner, rows in _runs(hit.owners):
            of_maps[owner][hit.tensor] = Patch(memory, where[rows], old[rows], new[rows])


def _changes(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each value whether it differs from the one before it; True for the first."""
    return np.concatenate([np.ones(min(len(values), 1), np.bool_), values[1:] != values[:-1]])


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Yield each run of equal neighbours: its value and its range."""
    starts = np.flatnonzero(_changes(values)).tolist()
    for start, stop in pairwise([*starts, len(values)]):
        yield int(values[start]), slice(start, stop)


def _memory(tensor: Tensor) -> Tensor:
    """Return the tensor's live memory as a row of int32; writes there move no autograd version counter."""
    return torch.as_strided(tensor.data, (tensor.numel(),), (1,)).view(torch.int32)


def _positions(tensor: Tensor, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places in memory of row-major word indices; the two differ in channels-last, for example."""
    if tensor.is_contiguous():
        return words
    positions = np.zeros_like(words)
    for index, stride in zip(np.unravel_index(words, tensor.shape), tensor.stride(), strict=True):
        positions += index * stride
    return positions
