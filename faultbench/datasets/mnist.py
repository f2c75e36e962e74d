"""MNIST (LeCun, Cortes, Burges, 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv 1708.07747)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets import MNIST, FashionMNIST

from faultbench.datasets.decoded_cache import data_folder
from faultbench.datasets.images import mirror_randomly, shift_randomly
from faultbench.datasets.torchvision_datasets import TorchvisionDataset
from faultbench.plugins.registry import dataset

SIDE = 28

N_SCALED_AT_ONCE = 1000
"""Images scaled at a time. All of them at once as float32 would take four times the memory."""


class _Mnist(TorchvisionDataset):
    n_classes: ClassVar[int] = 10
    n_test: ClassVar[int] = 10_000
    n_training_side: ClassVar[int] = 60_000
    split_seed: ClassVar[int] = 1998
    source: ClassVar[type[MNIST]]
    size: Literal[28, 32]
    resize: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, self.size, self.size)

    @property
    def folder(self) -> Path:
        return data_folder() / self.source.__name__ / "raw"

    @property
    def files(self) -> Sequence[str]:
        return [name for name, _ in self.source.resources]

    @property
    def origin(self) -> str:
        return str(self.source.mirrors[0])

    @property
    def checksums(self) -> Sequence[str]:
        return [md5 for _, md5 in self.source.resources]

    @property
    def variant(self) -> str:
        return f"-{self.size}{'-resized' * self.resize}"

    def read(self, root: Path, *, is_train: bool, download: bool) -> tuple[Tensor, Tensor]:
        side = self.source(root, train=is_train, download=download)
        if tuple(side.data.shape[1:]) != (SIDE, SIDE):
            raise ValueError(f"images of {tuple(side.data.shape[1:])}, not {SIDE}×{SIDE}")
        grey = side.data.unsqueeze(1)
        return (_scale(grey, self.size) if self.resize else _add_frame(grey, self.size)), side.targets


def _add_frame(grey: Tensor, size: int) -> Tensor:
    return F.pad(grey, ((size - SIDE) // 2,) * 4)


def _scale(grey: Tensor, size: int) -> Tensor:
    """Scale bilinearly. To 32 pixels all weights are multiples of 1/16, so every machine gives the same bytes."""
    parts = [
        F.interpolate(part.float(), (size, size), mode="bilinear").round().to(torch.uint8)
        for part in torch.split(grey, N_SCALED_AT_ONCE)
    ]
    return torch.cat(parts)


@dataset("mnist")
@dataclass(frozen=True)
class Mnist(_Mnist):
    """70,000 handwritten digits in grey, 28×28, or 32×32 with a black frame or resized: 10,000 to test."""

    source: ClassVar[type[MNIST]] = MNIST
    size: Literal[28, 32] = 28
    resize: bool = False
    n_calibration: Annotated[int, Field(ge=1, le=59_999)] = 3000

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Shift each image by at most two pixels. It is not mirrored: a mirrored digit is another sign."""
        return shift_randomly(pixels, generator, margin=2)


@dataset("fashion_mnist")
@dataclass(frozen=True)
class FashionMnist(_Mnist):
    """70,000 pieces of clothing in grey, 28×28, or 32×32 with a black frame or resized: 10,000 to test."""

    source: ClassVar[type[MNIST]] = FashionMNIST
    size: Literal[28, 32] = 28
    resize: bool = False
    n_calibration: Annotated[int, Field(ge=1, le=59_999)] = 3000

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Shift each image by at most two pixels, and mirror it at random."""
        return mirror_randomly(shift_randomly(pixels, generator, margin=2), generator)
