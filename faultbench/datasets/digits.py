"""Handwritten digits that are part of the package, so nothing is downloaded (provenance: digits.md)."""

from dataclasses import dataclass
from importlib import resources
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from faultbench.datasets.images import Images, Splits, shift_randomly
from faultbench.plugins.registry import dataset

SPLIT_SEED = 1998
"""Seed of the split, which is a property of the data set and the same in every campaign."""


@dataset("digits")
@dataclass(frozen=True)
class Digits:
    """1,797 handwritten 8×8 digits in grey (UCI, CC BY 4.0): 1,097 train, 200 calibration, 500 test."""

    shape: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    n_classes: ClassVar[int] = 10
    n_test: ClassVar[int] = 500
    n_held_out: ClassVar[int] = 200
    n_trained: ClassVar[int] = 1097

    def load(self) -> Splits:
        """Return the images with grey values scaled from 0..16 to 0..1, split by a fixed seed."""
        images = _read()
        order = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(len(images)))
        test, calibration, train = torch.tensor_split(order, (self.n_test, self.n_test + self.n_held_out))
        return Splits(*(images.select(part) for part in (train, calibration, test)))

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Shift each image by at most one pixel. It is not mirrored: a mirrored digit is another sign."""
        return shift_randomly(pixels, generator, margin=1)


def _read() -> Images:
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        grey, labels = arrays["images"], arrays["labels"]
    pixels = torch.from_numpy(grey.astype(np.float32) / 16).unsqueeze(1)
    return Images(pixels, torch.from_numpy(labels.astype(np.int64)))
