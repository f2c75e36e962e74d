"""Addresses of the fault space: every bit of memory has exactly one."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32, float16

Q15_16 = FixedPoint(15, 16)


def space_of(**tensors: Tensor) -> FaultSpace:
    return FaultSpace([StoredTensor(name, tensor, Q15_16) for name, tensor in tensors.items()])


def test_an_address_is_the_tensors_offset_plus_word_times_bits_plus_bit() -> None:
    space = FaultSpace(
        [
            StoredTensor("a", torch.zeros(3), float16()),
            StoredTensor("b", torch.zeros(2, 2), Q15_16),
            StoredTensor("c", torch.zeros(1), Float32()),
        ]
    )
    assert space.n_bits == 3 * 16 + 4 * 32 + 32
    assert space.slices == (slice(0, 48), slice(48, 176), slice(176, 208))
    location = space.locate(np.array([0, 15, 16, 47, 48, 48 + 3 * 32 + 31, 176, 207]))
    assert location.tensor.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert location.word.tolist() == [0, 0, 1, 2, 0, 3, 0, 0]
    assert location.bit.tolist() == [0, 15, 0, 15, 0, 31, 0, 31]


def test_every_bit_of_every_word_has_exactly_one_address() -> None:
    formats = [FixedPoint(0, 1), FixedPoint(3, 4), Q15_16]
    sizes = [3, 0, 1, 5, 2, 0]
    stored = [StoredTensor(f"t{index}", torch.zeros(size), formats[index % 3]) for index, size in enumerate(sizes)]
    space = FaultSpace(stored)
    bits = [
        (tensor, word, bit)
        for tensor, item in enumerate(space.stored)
        for word in range(item.tensor.numel())
        for bit in range(item.codec.bits)
    ]
    location = space.locate(np.arange(space.n_bits))
    assert list(zip(*(part.tolist() for part in location), strict=True)) == bits


def test_locating_takes_addresses_in_any_order() -> None:
    space = space_of(a=torch.zeros(2), b=torch.zeros(2))
    assert space.locate(np.array([127, 0, 64])).tensor.tolist() == [1, 0, 1]


@pytest.mark.parametrize("address", [-1, 64, 10**12])
def test_an_address_outside_the_space_is_refused(address: int) -> None:
    space = space_of(a=torch.zeros(2))
    with pytest.raises(ValueError, match=f"^address {address} is outside the fault space of 64 bits$"):
        space.locate(np.array([3, address]))


def test_a_space_of_nothing_has_no_bits() -> None:
    space = FaultSpace([])
    assert space.n_bits == 0
    assert space.slices == ()
    assert len(space.locate(np.empty(0, dtype=np.int64)).tensor) == 0


@pytest.mark.parametrize("tie", [lambda w: w, lambda w: w.data, lambda w: w.t(), lambda w: w.view(6, 4)])
def test_a_tied_tensor_counts_once_under_its_first_name(tie: Callable[[Tensor], Tensor]) -> None:
    first, between = torch.nn.Parameter(torch.zeros(4, 6)), torch.zeros(5)
    space = space_of(first=first, between=between, tied=tie(first))
    assert [item.name for item in space.stored] == ["first", "between"]
    assert space.n_bits == (24 + 5) * 32


def test_a_name_given_twice_is_refused() -> None:
    stored = [StoredTensor(name, torch.zeros(1), Q15_16) for name in ("a", "b", "a")]
    with pytest.raises(ValueError, match=r"^names of stored tensors given twice: a$"):
        FaultSpace(stored)


def test_tensors_that_share_a_part_of_their_memory_are_refused() -> None:
    row = torch.zeros(10)
    with pytest.raises(ValueError, match="'a' and 'b' share a part of their memory"):
        space_of(b=row[4:], a=row[:5])


def test_neighbours_in_one_arena_are_no_overlap() -> None:
    arena = torch.zeros(10)
    assert space_of(b=arena[5:], a=arena[:5]).n_bits == 320


@pytest.mark.parametrize(
    "broken",
    [
        torch.zeros(4, 4)[:, :2],
        torch.zeros(8)[::2],
        torch.zeros(1).expand(3),
        torch.zeros(6).as_strided((2, 3), (5, 0)),
    ],
    ids=["columns", "every other", "expanded", "overlapping itself"],
)
def test_a_tensor_that_is_not_one_unbroken_piece_of_memory_is_refused(broken: Tensor) -> None:
    with pytest.raises(ValueError, match="'w' is not one unbroken piece of memory"):
        space_of(w=broken)


@pytest.mark.parametrize(
    "whole",
    [
        torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.zeros(2, 3).t(),
        torch.zeros(6)[2:5],
        torch.zeros(1, 3)[:, :1],
        torch.zeros(3, 0),
        torch.zeros(()),
    ],
    ids=["channels last", "transposed", "slice", "one of a row", "empty", "scalar"],
)
def test_any_layout_of_one_piece_of_memory_is_taken(whole: Tensor) -> None:
    assert space_of(w=whole).n_bits == whole.numel() * 32


def test_a_tensor_that_is_not_float32_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'w' is torch\.float64; only float32 is read from memory"):
        space_of(w=torch.zeros(2, dtype=torch.float64))
