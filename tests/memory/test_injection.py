"""Flips in live tensors: exactly the bits asked for, undone bit for bit."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.codec import Codec
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32, bfloat16, float16
from faultbench.memory.injection import apply_patches, inject_faults, make_patches

Q15_16 = FixedPoint(15, 16)
SIGNALLING_NAN = 0x7F800001


def bits_of(tensor: Tensor) -> Tensor:
    """Return a copy of the float32 tensor's bits, in row-major order."""
    return tensor.detach().clone(memory_format=torch.contiguous_format).view(torch.int32)


def one(value: float, codec: Codec) -> tuple[Tensor, FaultSpace]:
    tensor = torch.tensor([value])
    return tensor, FaultSpace([StoredTensor("w", tensor, codec)])


def flips(*addresses: int) -> FaultMap:
    return FaultMap(np.array(addresses, dtype=np.int64))


def mixed_space() -> FaultSpace:
    """Return six tensors in five formats and three layouts, with NaN, Inf, subnormal and unquantised values."""
    rng = torch.Generator().manual_seed(5)
    special = torch.tensor([0x7F800001, 0x7F800000, 0x00000001, 0x7FC12345], dtype=torch.int32).view(torch.float32)
    stored: list[tuple[str, Tensor, Codec]] = [
        ("conv", torch.randn(2, 3, 2, 2, generator=rng).to(memory_format=torch.channels_last), Q15_16),
        ("bias", torch.randn(3, generator=rng) * 1e4, Q15_16),
        ("special", special, Float32()),
        ("transposed", torch.randn(3, 2, generator=rng).t(), bfloat16()),
        ("halves", torch.randn(2, 2, generator=rng), float16()),
        ("short", torch.randn(3, generator=rng), FixedPoint(3, 4)),
    ]
    return FaultSpace([StoredTensor(name, tensor, codec) for name, tensor, codec in stored])


def flipped_densely(space: FaultSpace, addresses: set[int]) -> list[Tensor]:
    """Flip bits one address at a time, as a slow oracle; values that are not hit stay."""
    address, result = 0, []
    for item in space.stored:
        values = item.tensor.contiguous().flatten()
        after = bits_of(values)
        for word in range(item.tensor.numel()):
            hit = [bit for bit in range(item.codec.bits) if address + bit in addresses]
            address += item.codec.bits
            if hit:
                held = int(item.codec.encode(values[word : word + 1])) & 0xFFFFFFFF
                for bit in hit:
                    held ^= 1 << bit
                held_word = torch.from_numpy(np.array([held], dtype=np.uint32).view(np.int32))
                after[word : word + 1] = item.codec.decode(held_word).float().view(torch.int32)
        result.append(after.view(item.tensor.shape))
    return result


@given(addresses=st.sets(st.integers(0, mixed_space().n_bits - 1), max_size=80))
def test_injection_equals_dense_masks_and_is_undone_bit_for_bit(addresses: set[int]) -> None:
    space = mixed_space()
    before = [bits_of(item.tensor) for item in space.stored]
    expected = flipped_densely(space, addresses)
    with inject_faults(space, flips(*sorted(addresses))):
        inside = [bits_of(item.tensor) for item in space.stored]
    after = [bits_of(item.tensor) for item in space.stored]
    assert all(map(torch.equal, inside, expected))
    assert all(map(torch.equal, after, before))


def test_all_bits_of_a_space_at_once_are_inverted_and_put_back() -> None:
    space = mixed_space()
    before = [bits_of(item.tensor) for item in space.stored]
    with inject_faults(space, flips(*range(space.n_bits))):
        inside = [bits_of(item.tensor) for item in space.stored]
    assert all(map(torch.equal, inside, flipped_densely(space, set(range(space.n_bits)))))
    assert all(map(torch.equal, [bits_of(item.tensor) for item in space.stored], before))


def test_a_word_hit_twice_gets_both_flips() -> None:
    tensor, space = one(1.0, Float32())
    with inject_faults(space, flips(0, 3)):
        assert int(bits_of(tensor)) == 0x3F800000 ^ 0b1001


def test_the_same_word_of_two_tensors_is_two_words() -> None:
    a, b = torch.tensor([1.0]), torch.tensor([1.0])
    space = FaultSpace([StoredTensor("a", a, Q15_16), StoredTensor("b", b, Q15_16)])
    with inject_faults(space, flips(17, 32 + 18)):
        assert (a.item(), b.item()) == (3.0, 5.0)


@pytest.mark.parametrize(("bit", "value"), [(0, 0.5 + 2**-16), (15, 0.0), (20, 16.5), (31, -32767.5)])
def test_a_flip_in_q15_16_moves_the_weight_by_its_bits_worth(bit: int, value: float) -> None:
    tensor, space = one(0.5, Q15_16)
    with inject_faults(space, flips(bit)):
        assert tensor.item() == value
    assert tensor.item() == 0.5


def test_a_flip_of_the_top_exponent_bit_in_float32_is_a_catastrophe() -> None:
    tensor, space = one(0.5, Float32())
    with inject_faults(space, flips(30)):
        assert tensor.item() == 2.0**127


def test_injection_is_undone_after_an_exception_inside_the_block() -> None:
    space = mixed_space()
    before = [bits_of(item.tensor) for item in space.stored]
    with pytest.raises(ZeroDivisionError), inject_faults(space, flips(1, 40, 1000)):  # noqa: PT012 - it is the subject
        assert not torch.equal(bits_of(space.stored[0].tensor), before[0])
        1 / 0  # noqa: B018 - raises
    assert all(map(torch.equal, [bits_of(item.tensor) for item in space.stored], before))


class CountingCodec:
    """float32 codec that counts the values it encodes and decodes."""

    bits = 32

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, values: Tensor) -> Tensor:
        self.seen.append(len(values))
        return Float32().encode(values)

    def decode(self, words: Tensor) -> Tensor:
        return Float32().decode(words)


class BrokenCodec(Float32):
    """Memory that cannot be read."""

    def decode(self, words: Tensor) -> Tensor:
        raise OSError(f"{len(words)} words cannot be read")


def test_a_write_that_fails_midway_leaves_nothing_written() -> None:
    first, second = torch.tensor([1.0]), torch.tensor([1.0])
    space = FaultSpace([StoredTensor("first", first, Q15_16), StoredTensor("second", second, BrokenCodec())])
    with pytest.raises(OSError, match="1 words"), inject_faults(space, flips(3, 35)):
        pytest.fail("the block must not be entered")
    assert (first.item(), second.item()) == (1.0, 1.0)


@pytest.mark.parametrize("address", [-1, 64])
def test_an_address_outside_the_space_is_refused_before_any_word_is_read(address: int) -> None:
    codec = CountingCodec()
    space = FaultSpace([StoredTensor("w", torch.tensor([1.0, 2.0]), codec)])
    with pytest.raises(ValueError, match="outside the fault space"), inject_faults(space, flips(*sorted([3, address]))):
        pytest.fail("the block must not be entered")
    assert codec.seen == []


def test_no_flips_change_nothing() -> None:
    space = mixed_space()
    before = [bits_of(item.tensor) for item in space.stored]
    with inject_faults(space, flips()):
        assert all(map(torch.equal, [bits_of(item.tensor) for item in space.stored], before))


def test_words_are_numbered_row_by_row_whatever_the_memory_layout() -> None:
    plain = torch.arange(24.0).view(1, 2, 3, 4)
    last = plain.clone(memory_format=torch.preserve_format).to(memory_format=torch.channels_last)
    for tensor in (plain, last):
        space = FaultSpace([StoredTensor("w", tensor, Q15_16)])
        with inject_faults(space, flips(17 * 32 + 31)):
            assert tensor.flatten().tolist() == [*range(17), 17.0 - 32768, *range(18, 24)]
        assert tensor.flatten().tolist() == [*range(24)]
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_a_tied_tensor_is_hit_once_and_seen_through_both_names() -> None:
    weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0]]))
    space = FaultSpace([StoredTensor("in", weight, Q15_16), StoredTensor("out", weight.t(), Q15_16)])
    with inject_faults(space, flips(*range(space.n_bits))):  # hit twice, every bit would come back
        assert weight.t().flatten().tolist() == [-1.0 - 2**-16, -2.0 - 2**-16]
    assert weight.tolist() == [[1.0, 2.0]]


def test_a_signalling_nan_is_written_and_put_back_as_it_is() -> None:
    tensor, space = one(1.0, Float32())
    tensor.view(torch.int32).fill_(0x7F800000)
    with inject_faults(space, flips(0)):
        assert int(bits_of(tensor)) == SIGNALLING_NAN
    tensor.view(torch.int32).fill_(SIGNALLING_NAN)
    with inject_faults(space, flips(1)):
        assert int(bits_of(tensor)) == SIGNALLING_NAN | 2
    assert int(bits_of(tensor)) == SIGNALLING_NAN


def test_a_slice_of_an_arena_is_written_in_its_own_place() -> None:
    arena = torch.zeros(5)
    with inject_faults(FaultSpace([StoredTensor("w", arena[2:4], Q15_16)]), flips(32 + 16)):
        assert arena.tolist() == [0, 0, 0, 1, 0]


def test_only_the_words_hit_pass_through_the_codec() -> None:
    codec = CountingCodec()
    space = FaultSpace([StoredTensor(str(size), torch.zeros(size), codec) for size in (5000, 70)])
    with inject_faults(space, flips(0, 3, 64, 32 * 5001)):
        pass
    assert codec.seen == [3]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_parameters_are_hit_and_put_back_in_every_gradient_mode(
    mode: Callable[[], AbstractContextManager[None]],
) -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 1.0)
    space = FaultSpace([StoredTensor("weight", layer.weight, Q15_16)])
    with mode():
        with inject_faults(space, flips(16)):
            assert layer(torch.ones(1, 2)).item() == 1.0
        assert layer(torch.ones(1, 2)).item() == 2.0
    assert layer.weight.requires_grad


def test_a_graph_recorded_before_an_injection_is_still_good_after_it() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    square = weight * weight
    with inject_faults(FaultSpace([StoredTensor("w", weight, Q15_16)]), flips(31)):
        pass
    (gradient,) = torch.autograd.grad(square, weight)
    assert gradient.tolist() == [6.0]


def test_a_gradient_inside_the_block_is_that_of_the_faulty_weight() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    with inject_faults(FaultSpace([StoredTensor("w", weight, Q15_16)]), flips(18)):
        (gradient,) = torch.autograd.grad(weight * weight, weight)
    assert gradient.tolist() == [14.0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_on_a_gpu_get_the_same_flips_and_are_put_back() -> None:
    host, rng = mixed_space(), np.random.default_rng(0)
    device = FaultSpace([StoredTensor(item.name, item.tensor.cuda(), item.codec) for item in host.stored])
    fault_map = flips(*np.sort(rng.choice(host.n_bits, size=60, replace=False)).tolist())
    before = [bits_of(item.tensor).cpu() for item in device.stored]
    with inject_faults(host, fault_map), inject_faults(device, fault_map):
        expected = [bits_of(item.tensor) for item in host.stored]
        assert all(map(torch.equal, [bits_of(item.tensor).cpu() for item in device.stored], expected))
    assert all(map(torch.equal, [bits_of(item.tensor).cpu() for item in device.stored], before))


def test_patches_of_many_maps_are_what_each_map_makes_of_the_memory():
    space = mixed_space()
    rng = np.random.default_rng(3)
    maps = [flips(*np.unique(rng.integers(space.n_bits, size=size)).tolist()) for size in (40, 0, 1, 200)]
    maps += [flips(3), flips(1, 3)]  # neighbours that hit one word
    before = [bits_of(item.tensor) for item in space.stored]
    found = make_patches(space, maps)
    assert all(torch.equal(bits_of(item.tensor), bits) for item, bits in zip(space.stored, before, strict=True))
    for fault_map, of_map in zip(maps, found, strict=True):
        expected = flipped_densely(space, set(fault_map.addresses.tolist()))
        with apply_patches(of_map.values()):
            for item, bits in zip(space.stored, expected, strict=True):
                assert torch.equal(bits_of(item.tensor).flatten(), bits.flatten())
    assert all(torch.equal(bits_of(item.tensor), bits) for item, bits in zip(space.stored, before, strict=True))
