"""What a number format is to the rest of faultbench: values to words of memory, and back."""

from typing import Protocol

import torch
from torch import Tensor


class Codec(Protocol):
    """A number format; `encode(decode(w))` equals w for every word w, NaN words included.

    A word is an int32 whose low `bits` bits are the memory's and whose others are 0. Both directions work
    element by element on any shape; they may return a view of their argument.
    """

    @property
    def bits(self) -> int:
        """Bits of memory a word takes, 1 to 32."""

    def encode(self, values: Tensor) -> Tensor:
        """The int32 words that hold float32 values, or the float64 ones that `decode` gives."""

    def decode(self, words: Tensor) -> Tensor:
        """The values of int32 words, exactly: float32, or float64 where 24 significant bits do not do."""


def quantised(codec: Codec, values: Tensor) -> Tensor:
    """What comes back when float32 values are stored and read: a new float32 tensor, outside autograd.

    Arithmetic is float32 whatever the memory holds, so a word of more than 24 significant bits is rounded to
    nearest when read: the largest of Q15.16 reads as 32768. Doing it twice changes nothing, in any bit.
    """
    return codec.decode(codec.encode(values)).to(torch.float32, copy=True)
