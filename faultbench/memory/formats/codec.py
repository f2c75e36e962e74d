"""Interface of number formats: values to words of memory, and back."""

from typing import Protocol

import torch
from torch import Tensor


class Codec(Protocol):
    """Number format; `encode(decode(w))` equals w for every word w, NaN words included.

    A word is an int32 whose low `bits` bits are those in memory; its other bits are 0. Both directions work element by
    element on any shape; they may return a view of their argument.
    """

    @property
    def bits(self) -> int:
        """Bits of memory per word, 1 to 32."""

    def encode(self, values: Tensor) -> Tensor:
        """Return the int32 words that hold float32 values, or the float64 values that `decode` gives."""

    def decode(self, words: Tensor) -> Tensor:
        """Return the exact values of int32 words: float32, or float64 where 24 significant bits are too few."""


def quantised(codec: Codec, values: Tensor) -> Tensor:
    """Return float32 values as they come back after they are stored and read: a new tensor, outside autograd.

    Arithmetic is float32 whatever the memory holds, so a word of more than 24 significant bits is rounded to
    nearest when read: the largest of Q15.16 reads as 32768. A second pass changes no bit.
    """
    return codec.decode(codec.encode(values)).to(torch.float32, copy=True)
