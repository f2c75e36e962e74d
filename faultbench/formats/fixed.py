"""Fixed point Qm.n: two's complement with one sign, m integer and n fraction bits."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from faultbench.errors import FaultbenchError
from faultbench.registry import number_format


@dataclass(frozen=True)
class FixedPoint:
    """Qm.n: the word w of value v is v·2^n truncated toward zero, saturated at ±2^m; NaN is stored as 0.

    Flipping bit b moves a value by 2^(b-n), the sign bit by 2^m.
    """

    integer: int
    fraction: int

    @property
    def bits(self) -> int:
        """One sign bit, the integer bits and the fraction bits."""
        return 1 + self.integer + self.fraction

    def encode(self, values: Tensor) -> Tensor:
        """Words of float32 or float64 values; ±Inf saturates."""
        largest = 2 ** (self.bits - 1) - 1
        # float64 holds every float32 times 2^31 and every 32-bit word exactly: only `trunc` loses anything.
        scaled = torch.trunc(values.to(torch.float64) * 2.0**self.fraction)
        whole = scaled.nan_to_num(0.0, posinf=largest, neginf=-largest - 1).clamp(-largest - 1, largest)
        unused = 32 - self.bits
        return whole.to(torch.int32) & (0xFFFFFFFF >> unused if unused else -1)

    def decode(self, words: Tensor) -> Tensor:
        """Values of words as float64."""
        unused = 32 - self.bits
        return ((words << unused) >> unused).to(torch.float64) * 2.0**-self.fraction  # >> copies the sign bit


@number_format("q<integer>.<fraction>")
def fixed_point(integer: str, fraction: str) -> FixedPoint:
    """Two's complement fixed point: 1 sign + integer + fraction bits, 32 at most; truncates and saturates."""
    plain = all(re.fullmatch("0|[1-9][0-9]?", digits) for digits in (integer, fraction))
    if not plain or not 1 <= int(integer) + int(fraction) <= 31:
        raise FaultbenchError(
            f"number format 'q{integer}.{fraction}': integer and fraction bits must be whole numbers, "
            "1 to 31 together (the sign is one more), as in 'q15.16'"
        )
    return FixedPoint(int(integer), int(fraction))
