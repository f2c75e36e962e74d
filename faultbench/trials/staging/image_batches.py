"""Batches of images with their golden values, and fronts that faults have reached in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from faultbench.datasets import Images
from faultbench.system.devices import layout
from faultbench.trials.staging.staged_network import Values


@dataclass(frozen=True)
class ImageBatch:
    """Images that run together, and what is kept of their golden run."""

    images: Images
    kept: frozenset[str]
    """Names of the values that a run may begin from."""
    start_steps: Sequence[int]
    """For each step, the latest step up to it from which a run can begin."""
    values: Values
    logits: Tensor | None


@dataclass(frozen=True)
class FaultFront:
    """Step that a faulted run has reached, the values needed from there on, and the images that the fault affects."""

    step: int
    values: Values
    affected: Tensor | None
    """One truth value per image; None if unknown."""


def decode_pixels(images: Images) -> Tensor:
    """Return the pixels of a batch as float32. They are decoded when needed, since they take four times the memory."""
    return images.pixels.contiguous(memory_format=layout(images.stored.device))
