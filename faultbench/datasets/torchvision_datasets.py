"""Data sets that torchvision downloads and checks: decoded once, the training side in a seeded random order."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from faultbench.datasets.decoded_cache import data_folder, decoded
from faultbench.datasets.images import Images, Splits, held_out, in_random_order
from faultbench.system.errors import FaultbenchError

FAILURES = (OSError, RuntimeError, ValueError, AssertionError, TypeError, EOFError)
"""What torchvision raises: no network, no file, a checksum that differs, a file that is not what its name says."""


class Published(ABC):
    """A data set of torchvision's; n_calibration of its training images are held out, the others train."""

    source: ClassVar[type[Any]]
    """torchvision's class."""
    n_test: ClassVar[int]
    n_training_side: ClassVar[int]
    """Images that torchvision calls training ones, those held out among them."""
    split_seed: ClassVar[int]
    """Which training images are held out is a property of the data set, the same in every campaign."""
    n_calibration: int

    def load(self) -> Splits:
        """Pixels in 0..1, no mean or standard deviation taken off; downloaded by torchvision where not there yet."""
        calibration, train = held_out(self._part(is_train=True), self.n_calibration)
        return Splits(train, calibration, self._part(is_train=False))

    @property
    def n_trained(self) -> int:
        return self.n_training_side - self.n_calibration

    @property
    def n_held_out(self) -> int:
        return self.n_calibration

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the files belong."""

    @property
    @abstractmethod
    def files(self) -> Sequence[str]:
        """Names of the files in it."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where they come from; it ends up in an error message."""

    @property
    @abstractmethod
    def checksums(self) -> Sequence[str]:
        """What tells these files from others; what is decoded from others is made again."""

    @abstractmethod
    def read(self, root: Path, *, is_train: bool, download: bool) -> tuple[Tensor, Tensor]:
        """Pixels, uint8 [images, channels, height, width], and labels, int64, from files below root."""

    @property
    def variant(self) -> str:
        """What tells the decoded images apart from those with other options."""
        return ""

    def _part(self, *, is_train: bool) -> Images:
        name = f"{self.source.__name__.lower()}{self.variant}-{'train' if is_train else 'test'}"
        order = f"order {self.split_seed}" if is_train else "in order"
        made_from = hashlib.sha256(" ".join(self.checksums).encode()).hexdigest()
        return decoded(name, f"{made_from} {order}", lambda: self._decoded(is_train=is_train))

    def _decoded(self, *, is_train: bool) -> Images:
        images = Images(*self._fetched(is_train=is_train))
        if not is_train and len(images) != self.n_test:
            raise FaultbenchError(
                f"{self.folder}: holds {len(images):,} test images; {self.source.__name__} has {self.n_test:,}"
            )
        # Stored in this order, every choice of n_calibration is two views and no copy.
        return in_random_order(images, seed=self.split_seed) if is_train else images

    def _fetched(self, *, is_train: bool) -> tuple[Tensor, Tensor]:
        root = data_folder()
        try:
            return self.read(root, is_train=is_train, download=False)
        except FAILURES:
            pass
        try:
            root.mkdir(parents=True, exist_ok=True)
            return self.read(root, is_train=is_train, download=True)
        except FAILURES as error:
            raise FaultbenchError(
                f"{self.folder}: no intact {self.source.__name__} there, and it could not be downloaded "
                f"({' '.join(str(error).split())}); put {', '.join(self.files)} there, from {self.origin}, "
                "or name another folder by --data-dir or FAULTBENCH_DATA"
            ) from error
