"""Contract of number formats, on words and values of every kind."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from faultbench.memory.formats.codec import Codec, quantised
from faultbench.testing.contract import Contract
from faultbench.testing.selection import Plugin

N_PATTERNS = 100_000

_SINGLE_BITS = [1 << bit for bit in range(32)]

_EDGES = [0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x00000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF]
"""Zeros, infinities, NaNs, subnormals and the largest value, as float32 words."""


def patterns() -> Tensor:
    """Return int32 words: every single bit set and clear, edge cases of float32, and random ones."""
    special = [*_SINGLE_BITS, *(~word & 0xFFFFFFFF for word in _SINGLE_BITS), *_EDGES]
    random = np.random.default_rng(0).integers(0, 2**32, N_PATTERNS, dtype=np.uint32)
    return torch.from_numpy(np.concatenate([np.array(special, dtype=np.uint32), random]).view(np.int32))


def some_values() -> Tensor:
    """Return float32 values of any bits, so that NaN, Inf and subnormals are as likely as anything, and usual ones."""
    usual = np.random.default_rng(1).normal(0, 2, N_PATTERNS).astype(np.float32)
    return torch.cat([patterns().view(torch.float32), torch.from_numpy(usual)])


def words_of(codec: Codec) -> Iterator[Tensor]:
    """Yield words of a format: patterns cut to its bits, and all of them if it has 16 bits or fewer."""
    yield patterns() & _mask(codec)
    if codec.bits <= 16:
        yield torch.arange(2**codec.bits, dtype=torch.int32)


def _mask(codec: Codec) -> int:
    return -1 if codec.bits == 32 else 2**codec.bits - 1


def _bits(values: Tensor) -> Tensor:
    assert values.dtype == torch.float32, f"decode must give float32 or float64; read as {values.dtype}"
    return values.view(torch.int32)


def _first_difference(found: Tensor, expected: Tensor, given: Tensor) -> str:
    where = int(torch.nonzero(found != expected)[0])
    return f"{int((found != expected).sum()):,} differ, the first for {given[where].item()!r}"


class TestNumberFormats(Contract):
    """Every number format; examples name some of a format with placeholders."""

    kind = "number_format"

    @pytest.fixture
    def codec(self, plugin: Plugin) -> Codec:
        """Build the format."""
        codec: Codec = plugin.build()
        return codec

    def test_every_word_survives_decode_and_encode(self, codec: Codec) -> None:
        for words in words_of(codec):
            again = codec.encode(codec.decode(words))
            assert torch.equal(again, words), _first_difference(again, words, words)

    def test_a_word_is_an_int32_of_the_bits_of_its_format_only(self, codec: Codec) -> None:
        assert 1 <= codec.bits <= 32, f"bits must be 1 to 32, not {codec.bits}"
        words = codec.encode(some_values())
        assert words.dtype == torch.int32, f"encode must give int32 words, not {words.dtype}"
        assert not bool((words & ~_mask(codec)).any()), f"words have bits beyond the {codec.bits} of the format set"

    def test_quantising_twice_changes_no_bit(self, codec: Codec) -> None:
        once = quantised(codec, some_values())
        twice = quantised(codec, once)
        assert torch.equal(_bits(twice), _bits(once)), _first_difference(_bits(twice), _bits(once), some_values())

    def test_a_stored_value_has_the_same_word_when_it_is_read_and_stored_again(self, codec: Codec) -> None:
        values = some_values()
        again, words = codec.encode(quantised(codec, values)), codec.encode(values)
        assert torch.equal(again, words), _first_difference(again, words, values)

    def test_quantising_keeps_order(self, codec: Codec) -> None:
        values = some_values()
        values = values[~values.isnan()].sort().values
        memory = quantised(codec, values)
        out_of_order = torch.nonzero(~(memory[1:] >= memory[:-1]))
        assert not len(out_of_order), f"a larger value reads as a smaller one: {values[out_of_order[0] + 1].item()!r}"

    def test_layout_and_shape_do_not_matter(self, codec: Codec) -> None:
        images = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
        memory = quantised(codec, images)
        assert torch.equal(quantised(codec, images.to(memory_format=torch.channels_last)), memory)
        assert torch.equal(quantised(codec, images.permute(3, 1, 0, 2)), memory.permute(3, 1, 0, 2))
        assert torch.equal(quantised(codec, images[1, 2, 3, 4]), memory[1, 2, 3, 4])
        assert quantised(codec, torch.empty(0, 3)).shape == (0, 3)

    def test_quantised_values_are_new_and_outside_autograd(self, codec: Codec) -> None:
        weight = torch.nn.Parameter(torch.tensor([0.5, -0.25]))
        memory = quantised(codec, weight)
        memory.zero_()
        assert not memory.requires_grad
        assert weight.tolist() == [0.5, -0.25]
