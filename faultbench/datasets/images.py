"""What a data set gives: labelled images in three parts that never mix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random variation of a training batch, [images, channels, height, width] in and out."""


@dataclass(frozen=True)
class Images:
    """Pixels, float32 [images, channels, height, width], and labels, int64 [images]."""

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{len(self.pixels)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n_images: int | None) -> "Images":
        """The first n images in the data set's own order; all of them for None."""
        return Images(self.pixels[:n_images], self.labels[:n_images])

    def chosen(self, indices: Tensor) -> "Images":
        """The images at these indices, in their order."""
        return Images(self.pixels[indices], self.labels[indices])

    def batches(self, batch: int) -> list["Images"]:
        """Consecutive batches; the last may be smaller."""
        pixels, labels = torch.split(self.pixels, batch), torch.split(self.labels, batch)
        return [Images(*pair) for pair in zip(pixels, labels, strict=True)]


@dataclass(frozen=True)
class Splits:
    """The three parts: networks and bounds are trained on `train`, searched and accepted on `calibration`.

    Only `test` is ever reported, and nothing is ever trained, profiled or searched on it.
    """

    train: Images
    calibration: Images
    test: Images


class Dataset(Protocol):
    """A data set plug-in: what can be known before loading, and the loading."""

    shape: ClassVar[tuple[int, int, int]]
    """Channels, height, width of an image."""
    n_classes: ClassVar[int]
    n_test: ClassVar[int]

    def load(self) -> Splits:
        """Read all images; FaultbenchError says which files are missing and where they should be."""

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Vary a training batch at random, each image on its own."""


def shifted(pixels: Tensor, generator: torch.Generator, *, margin: int) -> Tensor:
    """Each image moved by −margin..margin pixels in both directions, zeros coming in (random crop with padding)."""
    n_images, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (margin,) * 4)
    offsets = torch.randint(0, 2 * margin + 1, (2, n_images), generator=generator)
    rows = offsets[0, :, None] + torch.arange(height)
    columns = offsets[1, :, None] + torch.arange(width)
    image = torch.arange(n_images)[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirrored(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right, or not, with even chances."""
    chosen = torch.rand(len(pixels), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], pixels.flip(3), pixels)
