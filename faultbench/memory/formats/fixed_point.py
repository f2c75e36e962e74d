"""Fixed point Qm.n: two's complement with one sign, m integer and n fraction bits."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from faultbench.plugins.registry import number_format
from faultbench.system.errors import FaultbenchError


@dataclass(frozen=True)
class FixedPoint:
    """Fixed point Qm.n: the word of value v is v·2^n truncated toward zero; NaN is stored as 0.

    Values saturate at -2^m and 2^m - 2^-n. Flipping bit b moves a value by 2^(b-n), the sign bit by 2^m.
    """

    integer: int
    fraction: int

    @property
    def bits(self) -> int:
        """Bits of a word: one sign bit, the integer bits and the fraction bits."""
        return 1 + self.integer + self.fraction

    def encode(self, values: Tensor) -> Tensor:
        """Return the words of float32 or float64 values; ±Inf saturates."""
        limit = 2 ** (self.bits - 1)
        # float64 holds every scaled float32 and every word exactly; the cast to integers truncates toward zero.
        scaled = values.to(torch.float64) * 2.0**self.fraction
        words = scaled.clamp(-limit, limit - 1).nan_to_num(0.0).to(torch.int32)
        return words if self.bits == 32 else words & (2**self.bits - 1)

    def decode(self, words: Tensor) -> Tensor:
        """Return the values of words as float64."""
        unused = 32 - self.bits
        signed = (words << unused) >> unused if unused else words  # >> copies the sign bit
        return signed.to(torch.float64) * 2.0**-self.fraction


@number_format("q<integer>.<fraction>")
def fixed_point(
    integer: Annotated[int, Field(ge=0, le=31)], fraction: Annotated[int, Field(ge=0, le=31)]
) -> FixedPoint:
    """Two's complement fixed point: 1 sign + integer + fraction bits, 32 at most; truncates and saturates."""
    if not 1 <= integer + fraction <= 31:
        raise FaultbenchError(
            f"number format 'q{integer}.{fraction}': integer and fraction bits must be "
            "1 to 31 together (the sign is one more), as in 'q15.16'"
        )
    return FixedPoint(integer, fraction)
