"""Street View House Numbers (Netzer and others, Reading Digits in Natural Images, 2011), cropped digits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torchvision.datasets import SVHN

from faultbench.datasets.decoded_cache import data_folder
from faultbench.datasets.images import shift_randomly
from faultbench.datasets.torchvision_datasets import TorchvisionDataset
from faultbench.plugins.registry import dataset


@dataset("svhn")
@dataclass(frozen=True)
class Svhn(TorchvisionDataset):
    """99,289 house numbers in colour, 32×32, one digit each: 26,032 to test, n_calibration of the others held out."""

    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    n_classes: ClassVar[int] = 10
    n_test: ClassVar[int] = 26_032
    n_training_side: ClassVar[int] = 73_257
    split_seed: ClassVar[int] = 2011
    source: ClassVar[type[SVHN]] = SVHN
    n_calibration: Annotated[int, Field(ge=1, le=73_256)] = 3000

    @property
    def folder(self) -> Path:
        return data_folder()

    @property
    def files(self) -> Sequence[str]:
        return [name for _, name, _ in self._listed_files]

    @property
    def origin(self) -> str:
        return self._listed_files[0][0].rpartition("/")[0]

    @property
    def checksums(self) -> Sequence[str]:
        return [md5 for _, _, md5 in self._listed_files]

    def read(self, root: Path, *, is_train: bool, download: bool) -> tuple[Tensor, Tensor]:
        side = self.source(root, split="train" if is_train else "test", download=download)
        return torch.from_numpy(side.data).contiguous(), torch.from_numpy(side.labels)

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Crop each image, padded by 2, at random. It is not mirrored: a mirrored digit is another sign."""
        return shift_randomly(pixels, generator, margin=2)

    @property
    def _listed_files(self) -> list[list[str]]:
        return [self.source.split_list[split] for split in ("train", "test")]
