"""Images of one's own: a folder of class folders, or one of these for training and one for testing."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import Field
from torch import Tensor

from faultbench.datasets.decoded_cache import decoded
from faultbench.datasets.images import Images, Splits, held_out, in_random_order, mirrored, shifted
from faultbench.plugins.registry import dataset
from faultbench.system.errors import FaultbenchError

SPLIT_SEED = 1
"""Which images are tested, and which held out, is a property of the folder, the same in every campaign."""

N_CALIBRATION = 3000

EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}

Labelled = tuple[Path, int]
"""A file and the number of its class."""


@dataset("folder:<path>")
@dataclass(frozen=True)
class Folder:
    """Your own images: one folder a class, or train/ and test/ with one folder a class each.

    Without train/ and test/, a share of each class is tested. An image is cut to a square about its middle and scaled
    to size × size pixels. Without n_calibration a fifth of the training images are held out, at most 3,000.
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
        """Pixels in 0..1, every part in a seeded random order; a file that is no image is an error that names it."""
        train, test = (self._part(kind, files) for kind, files in zip(("train", "test"), self._files, strict=True))
        calibration, kept = held_out(train, self.n_held_out)
        return Splits(kept, calibration, test)

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Random crop of the image padded by an eighth, and random mirroring unless mirror is false."""
        moved = shifted(pixels, generator, margin=self.size // 8)
        return mirrored(moved, generator) if self.mirror else moved

    @cached_property
    def _files(self) -> tuple[list[Labelled], list[Labelled]]:
        """What to train on (and to hold out), and what to test on."""
        parts = [self.root / "train", self.root / "test"]
        if all(part.is_dir() for part in parts):
            train, test = (_classes(part) for part in parts)
            if train.keys() != test.keys():
                odd = sorted(train.keys() ^ test.keys())[0]
                raise FaultbenchError(f"{self.root}: class {odd!r} is not in both train and test")
            return _labelled(train), _labelled(test)
        return _divided(_classes(self.root), self.test_share)

    def _part(self, kind: str, files: Sequence[Labelled]) -> Images:
        means = f"{self.root.absolute()} {self.size} {self.channels} {self.test_share!r}"
        name = f"folder-{hashlib.sha256(means.encode(errors='surrogateescape')).hexdigest()[:16]}-{kind}"
        return decoded(name, _listing_digest(files), lambda: self._decoded(files))

    def _decoded(self, files: Sequence[Labelled]) -> Images:
        pixels = np.empty((len(files), *self.shape), dtype=np.uint8)
        for row, (path, _) in zip(pixels, files, strict=True):
            row[:] = _read(path, self.size, self.channels)
        labels = torch.tensor([label for _, label in files])
        # By name they come class by class; the first images of a part would be of few classes.
        return in_random_order(Images(torch.from_numpy(pixels), labels), seed=SPLIT_SEED)


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Name of each class → its files by name; hidden ones are left out. FaultbenchError where there is no choice."""
    if not folder.is_dir():
        raise FaultbenchError(
            f"{folder}: {'not a' if folder.exists() else 'no such'} folder; relative paths start at the campaign "
            "file's folder"
        )
    classes = {place.name: _visible(place) for place in _visible(folder) if place.is_dir()}
    if len(classes) < 2:
        held = f"one class, {next(iter(classes))!r}" if classes else "no folder"
        raise FaultbenchError(f"{folder}: holds {held}; give at least two folders of images, one a class")
    for name, files in classes.items():
        if not files:
            raise FaultbenchError(f"{folder / name}: holds no image; every class needs some")
        if inner := next((file for file in files if file.is_dir()), None):
            raise FaultbenchError(
                f"{inner}: a folder where an image should be; a class is one folder of images; the two of a divided "
                "set are called train and test"
            )
    return classes


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise FaultbenchError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _labelled(classes: dict[str, list[Path]]) -> list[Labelled]:
    return [(file, label) for label, files in enumerate(classes.values()) for file in files]


def _divided(classes: dict[str, list[Path]], test_share: float) -> tuple[list[Labelled], list[Labelled]]:
    """The same share of every class for testing, at least one image, and something left to train on."""
    rng = np.random.default_rng(SPLIT_SEED)
    train: list[Labelled] = []
    test: list[Labelled] = []
    for label, files in enumerate(classes.values()):
        n_test = max(1, round(test_share * len(files)))
        if n_test >= len(files):
            raise FaultbenchError(
                f"{files[0].parent}: {len(files)} image(s) leave none to train on when {n_test} are tested; "
                "add images, or lower test_share"
            )
        shuffled = [(files[index], label) for index in rng.permutation(len(files))]
        test += shuffled[:n_test]
        train += shuffled[n_test:]
    return train, test


def _read(path: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """[channels, size, size] of a file."""
    try:
        with Image.open(path) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise FaultbenchError(f"{path}: has pixels of mode {image.mode}; give images of 8 bits a channel")
            square = ImageOps.fit(
                image.convert("RGB" if channels == 3 else "L"), (size, size), Image.Resampling.BILINEAR
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise FaultbenchError(
            f"{path}: not an image that Pillow can read: {' '.join(str(error).split())}; take it out of the folder"
        ) from error
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)


def _listing_digest(files: Sequence[Labelled]) -> str:
    """SHA-256 of names, classes, sizes and times: files that change in neither are taken to be the same."""

    def lines() -> Iterator[str]:
        for path, label in files:
            status = path.stat()
            yield f"{path.name}\0{label}\0{status.st_size}\0{status.st_mtime_ns}\n"

    return hashlib.sha256("".join(lines()).encode(errors="surrogateescape")).hexdigest()
