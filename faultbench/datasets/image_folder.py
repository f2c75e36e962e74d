"""Data set of a user's own images: one folder per class, or such folders for training and for testing."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faultbench.datasets.decoded_cache import cached_images
from faultbench.datasets.image_file import image_status, printable_path, read_square
from faultbench.datasets.images import Images, Splits, hold_out, mirror_randomly, shift_randomly, shuffle
from faultbench.plugins.registry import dataset
from faultbench.system.errors import FaultbenchError

SPLIT_SEED = 1
"""Seed of the choice of test and held-out images, which is the same in every campaign."""

N_CALIBRATION = 3000

LabelledFile = tuple[Path, int]
"""File and the number of its class."""


@dataset("folder:<path>")
@dataclass(frozen=True)
class Folder:
    """Your own images: one folder per class, or train/ and test/ with one folder per class each.

    Without train/ and test/, test_share of each class are test images. Each image is rotated as its EXIF says, cropped
    to a square at its centre, and scaled to size × size pixels. Without n_calibration, a fifth of the training images
    are held out, at most 3,000.
    """

    path: str
    size: Annotated[int, Field(ge=1, le=1024)] = 32
    channels: Literal[1, 3] = 3
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    mirror: bool = True
    n_calibration: Annotated[int, Field(ge=1)] | None = None

    @cached_property
    def root(self) -> Path:
        return Path(self.path)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.size, self.size)

    @property
    def n_classes(self) -> int:
        return 1 + max(label for _, label in self._files[1])

    @property
    def n_test(self) -> int:
        return len(self._files[1])

    @property
    def n_held_out(self) -> int:
        return self.n_calibration or max(1, min(N_CALIBRATION, len(self._files[0]) // 5))

    @property
    def n_trained(self) -> int:
        return len(self._files[0]) - self.n_held_out

    def load(self) -> Splits:
        """Return pixels in 0..1, each part in a seeded random order. FaultbenchError names a file that is no image."""
        train, test = (self._part(kind, files) for kind, files in zip(("train", "test"), self._files, strict=True))
        calibration, kept = hold_out(train, self.n_held_out)
        return Splits(kept, calibration, test)

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Crop each image, padded by an eighth, at random, and mirror it at random unless mirror is false."""
        moved = shift_randomly(pixels, generator, margin=self.size // 8)
        return mirror_randomly(moved, generator) if self.mirror else moved

    @cached_property
    def _files(self) -> tuple[list[LabelledFile], list[LabelledFile]]:
        """Return the files to train on, including those to hold out, and the files to test on."""
        parts = [self.root / "train", self.root / "test"]
        if all(part.is_dir() for part in parts):
            train, test = (_classes(part) for part in parts)
            if train.keys() != test.keys():
                name = sorted(train.keys() ^ test.keys())[0]
                raise FaultbenchError(f"{printable_path(self.root)}: class {name!r} is not in both train and test")
            return _label_files(train), _label_files(test)
        return _divide(_classes(self.root), self.test_share)

    def _part(self, kind: str, files: Sequence[LabelledFile]) -> Images:
        choices = f"{self.root.absolute()} {self.size} {self.channels} {self.test_share!r}"
        name = f"folder-{hashlib.sha256(choices.encode(errors='surrogateescape')).hexdigest()[:16]}-{kind}"
        # `turned` marks images turned as EXIF says. Cache files without it are made again.
        return cached_images(name, f"{_listing_digest(files)} turned", lambda: self._decode(files))

    def _decode(self, files: Sequence[LabelledFile]) -> Images:
        pixels = np.empty((len(files), *self.shape), dtype=np.uint8)
        for row, (path, _) in zip(pixels, files, strict=True):
            row[:] = read_square(path, self.size, self.channels)
        labels = torch.tensor([label for _, label in files])
        # Files are sorted by class, so the first images of a part would have few classes.
        return shuffle(Images(torch.from_numpy(pixels), labels), seed=SPLIT_SEED)


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Return name of class → its files, sorted, without hidden ones. FaultbenchError for fewer than two classes."""
    if not folder.is_dir():
        raise FaultbenchError(
            f"{printable_path(folder)}: {'not a' if folder.exists() else 'no such'} folder; "
            "relative paths start at the campaign file's folder"
        )
    classes = {place.name: _visible(place) for place in _visible(folder) if place.is_dir()}
    if len(classes) < 2:
        content = f"one class, {next(iter(classes))!r}" if classes else "no folder"
        raise FaultbenchError(
            f"{printable_path(folder)}: holds {content}; give at least two folders of images, one per class"
        )
    for name, files in classes.items():
        if not files:
            raise FaultbenchError(f"{printable_path(folder / name)}: holds no image; every class needs some")
        if inner := next((file for file in files if file.is_dir()), None):
            raise FaultbenchError(
                f"{printable_path(inner)}: a folder where an image should be; a class is one folder of images; "
                "if you divide the images yourself, call the two parts train and test"
            )
    return classes


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise FaultbenchError(f"{printable_path(folder)}: cannot be read: {error.strerror or error}") from error


def _label_files(classes: dict[str, list[Path]]) -> list[LabelledFile]:
    return [(file, label) for label, files in enumerate(classes.values()) for file in files]


def _divide(classes: dict[str, list[Path]], test_share: float) -> tuple[list[LabelledFile], list[LabelledFile]]:
    """Divide the files: the same share of each class is for testing, at least one image, and the rest for training."""
    rng = np.random.default_rng(SPLIT_SEED)
    train: list[LabelledFile] = []
    test: list[LabelledFile] = []
    for label, files in enumerate(classes.values()):
        n_test = max(1, round(test_share * len(files)))
        if n_test >= len(files):
            raise FaultbenchError(
                f"{printable_path(files[0].parent)}: {len(files)} image(s) leave none to train on when {n_test} are "
                "tested; add images, or lower test_share"
            )
        shuffled = [(files[index], label) for index in rng.permutation(len(files))]
        test += shuffled[:n_test]
        train += shuffled[n_test:]
    return train, test


def _listing_digest(files: Sequence[LabelledFile]) -> str:
    """Return the SHA-256 of names, classes, sizes and times. Files equal in all of these are assumed unchanged."""

    def lines() -> Iterator[str]:
        for path, label in files:
            status = image_status(path)
            yield f"{path.name}\0{label}\0{status.st_size}\0{status.st_mtime_ns}\n"

    return hashlib.sha256("".join(lines()).encode(errors="surrogateescape")).hexdigest()
