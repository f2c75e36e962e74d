"""Labelled images, and their division into three parts that share no image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from faultbench.system.errors import FaultbenchError

_LEVELS = torch.arange(256).float().div_(255)
"""Value in `pixels` of each grey value."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Function that varies a training batch at random, [images, channels, height, width] in and out."""


@dataclass(frozen=True)
class Images:
    """Images as stored, [images, channels, height, width], and their labels, int64 [images].

    stored is float32, which `pixels` returns unchanged, or uint8, which `pixels` divides by 255. It may be a file
    mapped into memory that other processes share. The methods below return views of it if possible.
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
        """Return float32 [images, channels, height, width]. Each call converts uint8 images, so call it per batch."""
        if self.stored.is_floating_point():
            return self.stored
        if self.stored.device.type == "cpu":
            return self.stored.float().div_(255)
        # A GPU divides by a constant as a product with its rounded inverse, so the CPU's values are looked up instead.
        return _LEVELS.to(self.stored.device)[self.stored.int()]

    def to(self, device: str) -> "Images":
        """Return the images on a device. Labels stay where they are, because they are compared on the CPU."""
        return Images(self.stored.to(device), self.labels)

    def first(self, n_images: int | None) -> "Images":
        """Return the first n images in the data set's own order, or all of them for None."""
        return Images(self.stored[:n_images], self.labels[:n_images])

    def select(self, indices: Tensor) -> "Images":
        """Return the images at these indices, in this order. The indices may be on any device."""
        return Images(self.stored[indices.to(self.stored.device)], self.labels[indices.to(self.labels.device)])

    def batches(self, batch: int) -> list["Images"]:
        """Return consecutive batches. The last one may be smaller."""
        stored, labels = torch.split(self.stored, batch), torch.split(self.labels, batch)
        return [Images(*pair) for pair in zip(stored, labels, strict=True)]


@dataclass(frozen=True)
class Splits:
    """Three parts of a data set.

    Networks and bounds are trained on `train`; bounds are searched and accepted on `calibration`. Only accuracies on
    `test` are reported, and nothing is trained, profiled or searched on it.
    """

    train: Images
    calibration: Images
    test: Images


class Dataset(Protocol):
    """Data set plug-in: its shape and counts, which are known before loading, and its images."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the channels, height and width of an image."""

    @property
    def n_classes(self) -> int:
        """Return the number of classes. Labels number them from 0."""

    @property
    def n_test(self) -> int:
        """Return the number of test images."""

    def load(self) -> Splits:
        """Read all images. FaultbenchError names the missing files and the folder they belong in."""

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Vary each image of a training batch at random, independently of the others."""


@runtime_checkable
class SizedDataset(Protocol):
    """Data set whose number of training images is known before loading, so that training cost can be estimated."""

    @property
    def n_trained(self) -> int:
        """Return the number of images of `Splits.train`."""

    @property
    def n_held_out(self) -> int:
        """Return the number of images of `Splits.calibration`."""


def shuffle(images: Images, *, seed: int) -> Images:
    """Return the images in a random order that the seed determines, so that the first ones are a random sample."""
    return images.select(torch.from_numpy(np.random.default_rng(seed).permutation(len(images))))


def hold_out(images: Images, n_images: int) -> tuple[Images, Images]:
    """Return the first n images, and the others. FaultbenchError if no others are left."""
    if n_images >= len(images):
        raise FaultbenchError(
            f"n_calibration: {n_images:,} of {len(images):,} training images leaves none to train on; "
            f"give at most {len(images) - 1:,}"
        )
    return images.first(n_images), Images(images.stored[n_images:], images.labels[n_images:])


def shift_randomly(pixels: Tensor, generator: torch.Generator, *, margin: int) -> Tensor:
    """Shift each image by −margin..margin pixels in both directions and fill with zeros (random crop with padding)."""
    n_images, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (margin,) * 4)
    offsets = torch.randint(0, 2 * margin + 1, (2, n_images), generator=generator)
    rows = offsets[0, :, None] + torch.arange(height)
    columns = offsets[1, :, None] + torch.arange(width)
    image = torch.arange(n_images)[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirror_randomly(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    chosen = (torch.rand(len(pixels), generator=generator) < 0.5).to(pixels.device)
    return torch.where(chosen[:, None, None, None], pixels.flip(3), pixels)
