"""CIFAR-10 and CIFAR-100 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100

from faultbench.datasets.images import Images, Splits, mirrored, shifted
from faultbench.errors import FaultbenchError
from faultbench.registry import dataset

N_CALIBRATION = 3000
SPLIT_SEED = 2009
"""Which training images are held out for calibration is a property of the data set, the same in every campaign."""


@dataclass(frozen=True)
class _Cifar:
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    n_test: ClassVar[int] = 10_000
    source: ClassVar[type[CIFAR10]]

    @property
    def folder(self) -> Path:
        """Where the files belong."""
        root = Path(os.environ.get("FAULTBENCH_DATA", "~/.cache/faultbench")).expanduser()
        return root / str(self.source.base_folder)

    def load(self) -> Splits:
        """Pixels in 0..1, no mean or standard deviation taken off; downloaded by torchvision where not there yet."""
        train, test = self._part(train=True), self._part(train=False)
        order = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(len(train)))
        calibration, kept = torch.tensor_split(order, (N_CALIBRATION,))
        return Splits(train.chosen(kept), train.chosen(calibration), test)

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Random crop of the image padded by 4, and random mirroring."""
        return mirrored(shifted(pixels, generator, margin=4), generator)

    def _part(self, *, train: bool) -> Images:
        found = self._files(train=train)
        pixels = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous().float().div_(255)
        return Images(pixels, torch.tensor(found.targets))

    def _files(self, *, train: bool) -> Any:
        root = Path(os.environ.get("FAULTBENCH_DATA", "~/.cache/faultbench")).expanduser()
        try:
            return self.source(root, train=train, download=not (root / self.source.base_folder).is_dir())
        except (OSError, RuntimeError) as error:
            raise FaultbenchError(
                f"{root / self.source.base_folder}: no intact {self.source.__name__} there, and it could not be "
                f"downloaded: {error}; unpack {self.source.url} there, or name another folder by FAULTBENCH_DATA"
            ) from error


@dataset("cifar10")
@dataclass(frozen=True)
class Cifar10(_Cifar):
    """60,000 colour photographs, 32×32, of 10 classes: 47,000 train, 3,000 calibration, 10,000 test."""

    n_classes: ClassVar[int] = 10
    source: ClassVar[type[CIFAR10]] = CIFAR10


@dataset("cifar100")
@dataclass(frozen=True)
class Cifar100(_Cifar):
    """60,000 colour photographs, 32×32, of 100 classes: 47,000 train, 3,000 calibration, 10,000 test."""

    n_classes: ClassVar[int] = 100
    source: ClassVar[type[CIFAR10]] = CIFAR100
