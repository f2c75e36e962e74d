"""How far two runs of one function may differ: by rounding, and no farther."""

from collections.abc import Callable

import torch
from torch import Tensor

SLACK = 1e-4
"""Share of the largest logit. Kernels add up in other orders for other batches and layouts: VGG-16's logits differ by
1e-6 on a processor, and those of a card's transformed convolutions by more."""

SAME_KERNELS = 1e-5
"""Share of the largest logit, where the same kernels run in another program."""

NOISE = 16
"""Multiple of the difference that the last bits of pixels make in the logits; smaller differences are rounding too."""

_LAST_BITS = 2.0**-22


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have the same shape, type and values; NaN equals NaN."""
    return a.shape == b.shape and a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def distance(expected: Tensor, given: Tensor) -> float:
    """Return the largest difference of two tensors; infinite if shapes differ, or if only one value is finite."""
    if expected.shape != given.shape or expected.dtype != given.dtype:
        return float("inf")
    if not expected.numel():
        return 0.0
    a, b = expected.double(), given.double()
    apart = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs())
    return float(apart.nan_to_num(nan=torch.inf).max())


def scale(values: Tensor) -> float:
    """Return the largest finite magnitude among values; 0 if there is none."""
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def are_alike(expected: Tensor, given: Tensor, noise: Callable[[], float], *, slack: float = SLACK) -> bool:
    """Return whether two runs gave the same logits apart from rounding.

    noise gives how far the network's logits move when the last bits of its pixels change: networks that round inside,
    such as quantised ones, carry such a difference far. It is called only if the runs differ by more than slack.
    """
    apart = distance(expected, given)
    return apart <= slack * scale(expected) or apart <= NOISE * noise()


def noise_of(run: Callable[[Tensor], Tensor], images: Tensor, logits: Tensor) -> float:
    """Return how far a network's logits move when the last bits of its pixels change."""
    steps = torch.linspace(-_LAST_BITS, _LAST_BITS, images[0].numel()).view(images[0].shape).to(images.device)
    moved = (images * (1 + steps), images * (1 - steps.flip(-1)))
    distances = [distance(logits, run(pixels)) for pixels in moved]
    return max((apart for apart in distances if apart != float("inf")), default=0.0)
