"""Effort of a fitting: the number of images that run through its network, known before anything is loaded."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from faultbench.schemes.scheme import N_PROFILED, Schedule


@dataclass(frozen=True)
class FittingExtent:
    """Extent of a fitting: numbers of sites, of training images and of held-out images, and the schedule."""

    n_sites: int
    n_train: int
    n_calibration: int
    schedule: Schedule

    @property
    def n_profiled(self) -> int:
        """Return the number of training images for profiles."""
        return min(N_PROFILED, self.n_train)


@dataclass(frozen=True)
class FittingEffort:
    """Number of images that run through the whole network, and of those with gradients; both may be upper limits."""

    n_run: int = 0
    n_trained: int = 0


@runtime_checkable
class ForeseeableScheme(Protocol):
    """Scheme that states its fitting effort. A plug-in need not; then `plan` shows the effort as unknown."""

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return the number of image inferences that fitting takes if it is not interrupted."""


def limited_count(n_images: int, limit: int | None) -> int:
    """Return the number of images, at most limit if one is given."""
    return n_images if limit is None else min(n_images, limit)
