"""What a data set gives: labelled images in three parts that never mix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from faultbench.system.errors import FaultbenchError

_LEVELS = torch.arange(256).float().div_(255)
"""What `pixels` makes of every grey value."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random variation of a training batch, [images, channels, height, width] in and out."""


@dataclass(frozen=True)
class Images:
    """Images as they are kept, [images, channels, height, width], and their labels, int64 [images].

    stored is float32, taken as it is, or uint8, of which `pixels` is the 255th part. It may be a file mapped into
    memory that other processes share: the parts below are views of it wherever they can be.
    """

    stored: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.stored) != len(self.labels):
            raise ValueError(f"{len(self.stored)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> Tensor:
        """float32 [images, channels, height, width]; made anew of uint8 images each time, so ask it of a batch."""
        if self.stored.is_floating_point():
            return self.stored
        if self.stored.device.type == "cpu":
            return self.stored.float().div_(255)
        # On a card dividing by a constant multiplies by its rounded inverse; what the processor makes is looked up.
        return _LEVELS.to(self.stored.device)[self.stored.int()]

    def to(self, device: str) -> "Images":
        """The same images there; labels stay, for the processor to compare with."""
        return Images(self.stored.to(device), self.labels)

    def first(self, n_images: int | None) -> "Images":
        """The first n images in the data set's own order; all of them for None."""
        return Images(self.stored[:n_images], self.labels[:n_images])

    def chosen(self, indices: Tensor) -> "Images":
        """The images at these indices, in their order, wherever the indices are."""
        return Images(self.stored[indices.to(self.stored.device)], self.labels[indices.to(self.labels.device)])

    def batches(self, batch: int) -> list["Images"]:
        """Consecutive batches; the last may be smaller."""
        stored, labels = torch.split(self.stored, batch), torch.split(self.labels, batch)
        return [Images(*pair) for pair in zip(stored, labels, strict=True)]


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of an image."""

    @property
    def n_classes(self) -> int:
        """Classes that labels number from 0."""

    @property
    def n_test(self) -> int:
        """Test images."""

    def load(self) -> Splits:
        """Read all images; FaultbenchError says which files are missing and where they should be."""

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Vary a training batch at random, each image on its own."""


@runtime_checkable
class Counted(Protocol):
    """A data set that knows before loading how many images there are to train on: what training takes can be told."""

    @property
    def n_trained(self) -> int:
        """Images of `Splits.train`."""

    @property
    def n_held_out(self) -> int:
        """Images of `Splits.calibration`."""


def in_random_order(images: Images, *, seed: int) -> Images:
    """The images in the order that the seed gives: what is taken from the front is taken at random."""
    return images.chosen(torch.from_numpy(np.random.default_rng(seed).permutation(len(images))))


def held_out(images: Images, n_images: int) -> tuple[Images, Images]:
    """The first n images, and the others; FaultbenchError where nothing would be left."""
    if n_images >= len(images):
        raise FaultbenchError(
            f"n_calibration: {n_images:,} of {len(images):,} training images leaves none to train on; "
            f"give at most {len(images) - 1:,}"
        )
    return images.first(n_images), Images(images.stored[n_images:], images.labels[n_images:])


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
    chosen = (torch.rand(len(pixels), generator=generator) < 0.5).to(pixels.device)
    return torch.where(chosen[:, None, None, None], pixels.flip(3), pixels)
