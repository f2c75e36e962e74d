"""Number formats against hand-worked words, exact fractions, numpy and ml_dtypes."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from faultbench.memory.formats.codec import Codec, quantised
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.plugins.registry import build
from faultbench.system.errors import FaultbenchError

Q15_16 = FixedPoint(15, 16)
INF, NAN = math.inf, math.nan
HALVES = [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)]


def codec_of(name: str) -> Codec:
    codec: Codec = build("number_format", name, {})
    return codec


def word_of(codec: Codec, value: float) -> int:
    """Return the word as an unsigned integer."""
    return int(codec.encode(torch.tensor([value], dtype=torch.float32))) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (0.0, 0x00000000),
        (-0.0, 0x00000000),
        (1.0, 0x00010000),
        (-0.5, 0xFFFF8000),
        (1 / 65536, 0x00000001),
        (-1 / 65536, 0xFFFFFFFF),
        (1.75 / 65536, 0x00000001),  # truncated toward zero: a floor would agree here
        (-1.75 / 65536, 0xFFFFFFFF),  # and give -2 here
        (-0.75 / 65536, 0x00000000),
        (1e-30, 0x00000000),
        (32767.998046875, 0x7FFFFF80),  # the largest float32 below 32768
        (32768.0, 0x7FFFFFFF),  # saturates at 32768 - 2^-16
        (1e30, 0x7FFFFFFF),
        (INF, 0x7FFFFFFF),
        (-32768.0, 0x80000000),
        (-1e30, 0x80000000),
        (-INF, 0x80000000),
        (NAN, 0x00000000),
    ],
)
def test_q15_16_word_of_a_value(value: float, word: int) -> None:
    assert word_of(Q15_16, value) == word


@pytest.mark.parametrize(
    ("word", "value"),
    [(1, 2**-16), (-1, -(2**-16)), (0x7FFFFFFF, 32768 - 2**-16), (-0x80000000, -32768), (0x18000, 1.5)],
)
def test_q15_16_value_of_a_word_is_exact(word: int, value: float) -> None:
    assert float(Q15_16.decode(torch.tensor([word], dtype=torch.int32))) == value


@pytest.mark.parametrize("bit", range(32))
def test_flipping_bit_b_of_a_q15_16_weight_moves_it_by_2_to_the_b_minus_16(bit: int) -> None:
    word = Q15_16.encode(torch.tensor([0.046875]))
    flipped = word ^ torch.tensor([1 << bit]).to(torch.int32)
    assert float((Q15_16.decode(flipped) - Q15_16.decode(word)).abs()) == 2.0 ** (bit - 16)


def test_the_largest_q15_16_word_reads_as_32768_in_float32() -> None:
    assert quantised(Q15_16, torch.tensor([1e9])).tolist() == [32768.0]


def test_a_short_fixed_point_word_is_masked_and_its_sign_is_extended() -> None:
    q3_4 = FixedPoint(3, 4)
    assert word_of(q3_4, -1.0) == 0xF0
    assert q3_4.decode(torch.tensor([0xF0, 0x80, 0x7F], dtype=torch.int32)).tolist() == [-1.0, -8.0, 7.9375]


@pytest.mark.parametrize("shape", [(15, 16), (7, 8), (0, 31), (31, 0), (8, 16), (0, 1)])
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(value=256 + 2**-15)
@example(value=-1.1754943508222875e-38)
def test_fixed_point_agrees_with_exact_fractions(shape: tuple[int, int], value: float) -> None:
    integer, fraction = shape
    exact = int(Fraction(value) * 2**fraction)  # int() truncates toward zero
    limit = 2 ** (integer + fraction)
    word = min(max(exact, -limit), limit - 1) % (2 * limit)
    assert word_of(FixedPoint(integer, fraction), value) == word


@pytest.mark.parametrize("name", ["q15.x", "q32.0", "q015.16", "q-1.8", "q1.2.3", "q٣.4"])
def test_a_fixed_point_format_without_whole_numbers_of_bits_is_refused_with_the_one_that_is_wrong(name: str) -> None:
    wrong = {"q15.x": "x", "q32.0": "32", "q015.16": "015", "q-1.8": "-1", "q1.2.3": "2.3", "q٣.4": "٣"}[name]
    with pytest.raises(FaultbenchError, match=r"^number format '.*': (integer|fraction) ") as caught:
        codec_of(name)
    assert repr(name) in str(caught.value)
    assert str(caught.value).endswith(f"; given {wrong!r}")


@pytest.mark.parametrize("name", ["q16.16", "q31.1", "q0.0"])
def test_a_fixed_point_format_that_cannot_be_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(FaultbenchError, match=r"^number format '.*': .* as in 'q15\.16'$") as caught:
        codec_of(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("word", [0x00000001, 0x3F800000, 0x7F800000, 0x7F800001, 0x7FC00001, 0xFFBFFFFF, 0x80000000])
def test_a_float32_word_is_the_bits_of_its_value(word: int) -> None:
    bits = torch.from_numpy(np.array([word], dtype=np.uint32).view(np.int32))
    codec = codec_of("float32")
    assert torch.equal(codec.encode(bits.view(torch.float32)), bits)
    assert torch.equal(codec.decode(bits).view(torch.int32), bits)


@pytest.mark.parametrize(("name", "dtype"), HALVES)
def test_every_half_precision_word_means_what_numpy_says(name: str, dtype: type) -> None:
    words = np.arange(2**16)
    expected = words.astype(np.uint16).view(dtype).astype(np.float32)
    decoded = codec_of(name).decode(torch.from_numpy(words.astype(np.int32))).numpy()
    np.testing.assert_array_equal(decoded, expected)  # takes any NaN for any other
    assert decoded.dtype == np.float32


@pytest.mark.parametrize(("name", "dtype"), HALVES)
def test_half_precision_rounds_as_numpy_does_at_and_beside_every_midpoint(name: str, dtype: type) -> None:
    infinity = int(np.array(INF, dtype).view(np.uint16))
    finite = np.arange(infinity, dtype=np.uint16).view(dtype).astype(np.float64)
    beyond = 2 * finite[-1] - finite[-2]  # where the next value would be: half way there it overflows
    grid = np.concatenate([[-beyond], -finite[:0:-1], finite, [beyond]])
    middle = ((grid[1:] + grid[:-1]) / 2).astype(np.float32)
    values = np.concatenate([middle, np.nextafter(middle, np.float32(INF)), np.nextafter(middle, np.float32(-INF))])
    with np.errstate(over="ignore"):
        expected = values.astype(dtype).view(np.uint16)
    np.testing.assert_array_equal(codec_of(name).encode(torch.from_numpy(values)).numpy(), expected)


@pytest.mark.parametrize(("name", "quiet"), [("float16", 0x7E00), ("bfloat16", 0x7FC0)])
def test_a_nan_whose_payload_is_cut_off_stays_a_nan_of_its_sign(name: str, quiet: int) -> None:
    nans = torch.tensor([0x7F800001, 0x7F800001 - 2**31]).to(torch.int32).view(torch.float32)
    assert codec_of(name).encode(nans).tolist() == [quiet, quiet | 0x8000]
