"""IEEE 754 single and half precision and bfloat16: the word is the value's bit pattern."""

from dataclasses import dataclass

import torch
from torch import Tensor

from faultbench.plugins.registry import number_format

_SIGN = 0x8000
_FLOAT32_INFINITY = 0x7F800000
_FLOAT32_FRACTION_BITS = 23


@number_format("float32")
@dataclass(frozen=True)
class Float32:
    """IEEE 754 single precision: the bits as they are, NaN payloads included."""

    bits = 32

    def encode(self, values: Tensor) -> Tensor:
        """Return the bits of values; float32 is not copied."""
        return values.to(torch.float32).view(torch.int32)

    def decode(self, words: Tensor) -> Tensor:
        """Return the float32 values with these bits, not copied."""
        return words.view(torch.float32)


@dataclass(frozen=True)
class Float16Bit:
    """16-bit float of torch; rounds to nearest, ties to even, and overflows to Inf.

    torch quietens NaNs, or makes all of them one, when it converts. Here a NaN keeps its sign and the top
    `fraction_bits` bits of its payload, and gets the quiet bit only where those are all 0.
    """

    dtype: torch.dtype
    fraction_bits: int

    bits = 16

    def encode(self, values: Tensor) -> Tensor:
        """Return the words of float32 values; float64 is rounded to float32 first."""
        floats = values.to(torch.float32)
        rounded = floats.to(self.dtype).view(torch.int16).to(torch.int32) & 0xFFFF
        wide = floats.view(torch.int32)
        payload = (wide >> self._dropped) & self._fraction
        payload = torch.where(payload == 0, 1 << (self.fraction_bits - 1), payload)
        return torch.where(floats.isnan(), ((wide >> 16) & _SIGN) | self._infinity | payload, rounded)

    def decode(self, words: Tensor) -> Tensor:
        """Return the values of words as float32."""
        floats = words.to(torch.int16).view(self.dtype).to(torch.float32)
        nan = ((words & _SIGN) << 16) | _FLOAT32_INFINITY | ((words & self._fraction) << self._dropped)
        return torch.where(floats.isnan(), nan, floats.view(torch.int32)).view(torch.float32)

    @property
    def _dropped(self) -> int:
        return _FLOAT32_FRACTION_BITS - self.fraction_bits

    @property
    def _fraction(self) -> int:
        return (1 << self.fraction_bits) - 1

    @property
    def _infinity(self) -> int:
        return (_SIGN - 1) & ~self._fraction


@number_format("float16")
def float16() -> Float16Bit:
    """IEEE 754 half precision: 5 exponent and 10 fraction bits; rounds to nearest even."""
    return Float16Bit(torch.float16, fraction_bits=10)


@number_format("bfloat16")
def bfloat16() -> Float16Bit:
    """bfloat16: float32's 8 exponent bits with 7 fraction bits; rounds to nearest even."""
    return Float16Bit(torch.bfloat16, fraction_bits=7)
