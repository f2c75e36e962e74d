"""Values outside the range of a number format, which stores the end of its range instead."""

import torch
from torch import Tensor

from faultbench.memory.formats.codec import Codec, quantised

_STEPS = [(power, part) for power in range(-8, 128) for part in (1.0, 2 - 2.0**-7, 2 - 2.0**-10, 2 - 2.0**-23)]
"""Powers of two, and the largest values below the next one that 8, 11 and 24 significant bits hold."""


def saturated(codec: Codec, values: Tensor) -> Tensor:
    """Return for each float32 value whether it lies outside the format's range; bool, of the same shape.

    The range ends at what the largest float32 values of both signs are stored as, so that this holds for any codec.
    A value that becomes infinite is outside too; infinities and NaN, which no network has in memory, are not.
    """
    largest = torch.finfo(torch.float32).max
    low, high = quantised(codec, torch.tensor([-largest, largest])).to(values.device)
    is_held = (values >= low) & (values <= high) & torch.isfinite(quantised(codec, values))
    return torch.isfinite(values).logical_and(~is_held)


def range_text(codec: Codec) -> str:
    """Return the least and the largest finite value of a format, as in "-8 to 7.9375"."""
    steps = quantised(codec, torch.tensor([sign * 2.0**power * part for sign in (-1, 1) for power, part in _STEPS]))
    finite = steps[torch.isfinite(steps)]
    return f"{finite.min():g} to {finite.max():g}"
