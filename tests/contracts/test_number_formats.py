"""Every number format keeps the same laws, on words and values of every kind."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from faultbench.memory.formats.codec import Codec, quantised
from faultbench.plugins.registry import build, catalogue

EXAMPLES = {"q<integer>.<fraction>": ["q15.16", "q0.31", "q31.0", "q8.16", "q9.16", "q7.8", "q0.1", "q1.0"]}
"""What to try for a name with placeholders; the others stand for themselves."""

FORMATS = [example for name in catalogue("number_format") for example in EXAMPLES.get(name, [name])]

every_format = pytest.mark.parametrize("codec", [build("number_format", name, {}) for name in FORMATS], ids=FORMATS)
patterns = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)


def words_from(ints: list[int], bits: int) -> Tensor:
    """int32 words with the low `bits` bits of these integers."""
    return torch.from_numpy((np.array(ints, dtype=np.uint32) & np.uint32(2**bits - 1)).view(np.int32))


def floats_from(ints: list[int]) -> Tensor:
    """float32 values with these bits, so that NaN, Inf and subnormals are as likely as anything."""
    return words_from(ints, 32).view(torch.float32)


def bits_of(values: Tensor) -> Tensor:
    assert values.dtype == torch.float32
    return values.view(torch.int32)


@pytest.mark.parametrize("name", [name for name in FORMATS if build("number_format", name, {}).bits <= 16])
def test_every_word_of_a_format_up_to_16_bits_survives_decode_and_encode(name: str) -> None:
    codec = build("number_format", name, {})
    words = torch.arange(2**codec.bits, dtype=torch.int32)
    assert torch.equal(codec.encode(codec.decode(words)), words)


@every_format
@given(ints=patterns)
def test_any_word_survives_decode_and_encode(codec: Codec, ints: list[int]) -> None:
    words = words_from(ints, codec.bits)
    assert torch.equal(codec.encode(codec.decode(words)), words)


@every_format
@pytest.mark.parametrize("bit", range(32))
def test_words_with_one_bit_set_and_one_bit_clear_survive_decode_and_encode(codec: Codec, bit: int) -> None:
    words = words_from([1 << bit, ~(1 << bit) & 0xFFFFFFFF], codec.bits)
    assert torch.equal(codec.encode(codec.decode(words)), words)


@every_format
@given(ints=patterns)
def test_a_word_uses_only_the_bits_of_its_format(codec: Codec, ints: list[int]) -> None:
    words = codec.encode(floats_from(ints))
    assert words.dtype == torch.int32
    assert not bool((words & ~words_from([0xFFFFFFFF], codec.bits)).any())


@every_format
@given(ints=patterns)
def test_quantising_twice_changes_no_bit(codec: Codec, ints: list[int]) -> None:
    once = quantised(codec, floats_from(ints))
    assert torch.equal(bits_of(quantised(codec, once)), bits_of(once))


@every_format
@given(ints=patterns)
def test_a_stored_value_has_the_same_word_when_it_is_read_and_stored_again(codec: Codec, ints: list[int]) -> None:
    values = floats_from(ints)
    assert torch.equal(codec.encode(quantised(codec, values)), codec.encode(values))


@every_format
@given(ints=patterns)
def test_quantising_keeps_order(codec: Codec, ints: list[int]) -> None:
    values = floats_from(ints)
    values = values[~values.isnan()].sort().values
    memory = quantised(codec, values)
    assert bool((memory[1:] >= memory[:-1]).all())


@every_format
def test_layout_and_shape_do_not_matter(codec: Codec) -> None:
    images = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    memory = quantised(codec, images)
    assert torch.equal(quantised(codec, images.to(memory_format=torch.channels_last)), memory)
    assert torch.equal(quantised(codec, images.permute(3, 1, 0, 2)), memory.permute(3, 1, 0, 2))
    assert torch.equal(quantised(codec, images[1, 2, 3, 4]), memory[1, 2, 3, 4])
    assert quantised(codec, torch.empty(0, 3)).shape == (0, 3)


@every_format
def test_quantised_values_are_new_and_outside_autograd(codec: Codec) -> None:
    weight = torch.nn.Parameter(torch.tensor([0.5, -0.25]))
    memory = quantised(codec, weight)
    memory.zero_()
    assert not memory.requires_grad
    assert weight.tolist() == [0.5, -0.25]
