"""Builders of small data sets in the formats of the real ones, and of a machine without a network."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_idx(folder: Path, kind: str, rng: np.random.Generator, n_images: int) -> None:
    """Write images and labels like MNIST's, train or t10k, as IDX files: random pixels, with classes in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    labels = np.arange(n_images, dtype=np.uint8) % 10
    (folder / f"{kind}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes())
    (folder / f"{kind}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, n_images) + labels.tobytes())


def write_classes(folder: Path, classes: Mapping[str, int], *, side: int = 32) -> None:
    """Write one folder per class with this number of PNG files of random colours."""
    rng = np.random.default_rng(len(str(classes)))
    for name, n_images in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(n_images):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def unplugged(patch: pytest.MonkeyPatch) -> None:
    """Make every download fail at once, by a proxy on a port of this machine where no program listens."""
    for scheme in ("http", "https"):
        patch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    patch.delenv("no_proxy", raising=False)
    patch.delenv("NO_PROXY", raising=False)
