"""What runs of a network go on from: images that run together, and how far a fault has come among them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from faultbench.datasets import Images
from faultbench.system.devices import layout
from faultbench.trials.staging.staged_network import Values


@dataclass(frozen=True)
class Part:
    """Images that run together, and what is kept of their golden run: begin is where a run can, for every step."""

    images: Images
    kept: frozenset[str]
    begin: Sequence[int]
    values: Values
    logits: Tensor | None


@dataclass(frozen=True)
class Reached:
    """The values that a run goes on with from a step, and which images feel a fault there; None if that is unknown."""

    step: int
    values: Values
    felt: Tensor | None


def decoded(images: Images) -> Tensor:
    """The pixels of a batch, decoded where it is needed: in float32 they would take four times the room."""
    return images.pixels.contiguous(memory_format=layout(images.stored.device))
