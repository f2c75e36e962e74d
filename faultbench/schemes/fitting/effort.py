"""How many images a fitting will run through its network, told before anything is loaded."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from faultbench.schemes.scheme import N_PROFILED, Schedule


@dataclass(frozen=True)
class Extent:
    """What a fitting will work on: sites of the network, training images, held-out images, and the schedule."""

    n_sites: int
    n_train: int
    n_calibration: int
    schedule: Schedule

    @property
    def n_profiled(self) -> int:
        """Training images that profiles are taken over."""
        return min(N_PROFILED, self.n_train)


@dataclass(frozen=True)
class Effort:
    """Images that run through the whole network, and those for which gradients are taken too; each may be at most."""

    n_run: int = 0
    n_trained: int = 0


@runtime_checkable
class Foreseen(Protocol):
    """A scheme that can tell what fitting it takes; a plug-in need not, and then `plan` says that it does not know."""

    def effort(self, extent: Extent) -> Effort:
        """Image runs of a fitting that nothing interrupts."""


def first(n_images: int, limit: int | None) -> int:
    """So many are left of the images where an option limits them."""
    return n_images if limit is None else min(n_images, limit)
