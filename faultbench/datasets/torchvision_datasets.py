"""Data sets that torchvision downloads and checks. They are decoded once; the training side is in a seeded order."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from faultbench.datasets.decoded_cache import cached_images, data_folder
from faultbench.datasets.images import Images, Splits, hold_out, shuffle
from faultbench.system.error_lines import disk_cause
from faultbench.system.errors import EngineError, FaultbenchError

READING_ERRORS = (OSError, RuntimeError, ValueError, AssertionError, TypeError, EOFError)
"""Exceptions of torchvision for a missing network or file, a wrong checksum, or a file of another kind."""


class TorchvisionDataset(ABC):
    """Data set of torchvision. n_calibration of its training images are held out, and the others are trained on."""

    source: ClassVar[type[Any]]
    """Class of torchvision."""
    n_test: ClassVar[int]
    n_training_side: ClassVar[int]
    """Number of training images of torchvision, including those held out."""
    split_seed: ClassVar[int]
    """Seed of the choice of held-out images, which is the same in every campaign."""
    n_calibration: int

    def load(self) -> Splits:
        """Return pixels in 0..1, not normalised. torchvision downloads files that are missing."""
        calibration, train = hold_out(self._part(is_train=True), self.n_calibration)
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
        """Return the folder that the files belong in."""

    @property
    @abstractmethod
    def files(self) -> Sequence[str]:
        """Return the names of the files in the folder."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Return the address that the files come from, for an error message."""

    @property
    @abstractmethod
    def checksums(self) -> Sequence[str]:
        """Return the checksums of the files. Images decoded from other files are decoded again."""

    @abstractmethod
    def read(self, root: Path, *, is_train: bool, download: bool) -> tuple[Tensor, Tensor]:
        """Return pixels, uint8 [images, channels, height, width], and labels, int64, from files below root."""

    @property
    def variant(self) -> str:
        """Return the part of the cache file's name that distinguishes options of the data set."""
        return ""

    def _part(self, *, is_train: bool) -> Images:
        name = f"{self.source.__name__.lower()}{self.variant}-{'train' if is_train else 'test'}"
        order = f"order {self.split_seed}" if is_train else "in order"
        made_from = hashlib.sha256(" ".join(self.checksums).encode()).hexdigest()
        return cached_images(name, f"{made_from} {order}", lambda: self._decode(is_train=is_train))

    def _decode(self, *, is_train: bool) -> Images:
        images = Images(*self._fetch(is_train=is_train))
        if not is_train and len(images) != self.n_test:
            raise FaultbenchError(
                f"{self.folder}: holds {len(images):,} test images; {self.source.__name__} has {self.n_test:,}"
            )
        # In this stored order, every n_calibration gives two views and no copy.
        return shuffle(images, seed=self.split_seed) if is_train else images

    def _fetch(self, *, is_train: bool) -> tuple[Tensor, Tensor]:
        root = data_folder()
        try:
            return self.read(root, is_train=is_train, download=False)
        except READING_ERRORS:
            pass
        try:
            root.mkdir(parents=True, exist_ok=True)
            return self.read(root, is_train=is_train, download=True)
        except READING_ERRORS as error:
            kind = EngineError if disk_cause(error) else FaultbenchError
            raise kind(
                f"{self.folder}: no intact {self.source.__name__} there, and it could not be downloaded "
                f"({' '.join(str(error).split())}); put {', '.join(self.files)} there, from {self.origin}, "
                "or name another folder by --data-dir or FAULTBENCH_DATA"
            ) from error
