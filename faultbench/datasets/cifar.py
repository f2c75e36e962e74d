"""CIFAR-10 and CIFAR-100 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100

from faultbench.datasets.decoded_cache import data_folder
from faultbench.datasets.images import mirror_randomly, shift_randomly
from faultbench.datasets.torchvision_datasets import TorchvisionDataset
from faultbench.plugins.registry import dataset


class _Cifar(TorchvisionDataset):
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    n_test: ClassVar[int] = 10_000
    n_training_side: ClassVar[int] = 50_000
    split_seed: ClassVar[int] = 2009
    source: ClassVar[type[CIFAR10]]

    @property
    def folder(self) -> Path:
        return data_folder() / str(self.source.base_folder)

    @property
    def files(self) -> Sequence[str]:
        return [name for name, _ in self._listed_files] + [self.source.meta["filename"]]

    @property
    def origin(self) -> str:
        return str(self.source.url)

    @property
    def checksums(self) -> Sequence[str]:
        return [md5 for _, md5 in self._listed_files]

    def read(self, root: Path, *, is_train: bool, download: bool) -> tuple[Tensor, Tensor]:
        side = self.source(root, train=is_train, download=download)
        return torch.from_numpy(side.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(side.targets)

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Crop each image, padded by 4, at random, and mirror it at random."""
        return mirror_randomly(shift_randomly(pixels, generator, margin=4), generator)

    @property
    def _listed_files(self) -> list[list[str]]:
        return [*self.source.train_list, *self.source.test_list]


@dataset("cifar10")
@dataclass(frozen=True)
class Cifar10(_Cifar):
    """60,000 colour photographs, 32×32, of 10 classes: 10,000 to test, n_calibration of the others held out."""

    n_classes: ClassVar[int] = 10
    source: ClassVar[type[CIFAR10]] = CIFAR10
    n_calibration: Annotated[int, Field(ge=1, le=49_999)] = 3000


@dataset("cifar100")
@dataclass(frozen=True)
class Cifar100(_Cifar):
    """60,000 colour photographs, 32×32, of 100 classes: 10,000 to test, n_calibration of the others held out."""

    n_classes: ClassVar[int] = 100
    source: ClassVar[type[CIFAR10]] = CIFAR100
    n_calibration: Annotated[int, Field(ge=1, le=49_999)] = 3000
