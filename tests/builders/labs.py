"""Builders of a lab's folder: plug-ins beside a campaign, which Python forgets after the test."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

NET = '''\
"""What a lab adds: a network."""

from torch import nn

import faultbench as fb


@fb.model("lab_net")
def lab_net(shape: tuple[int, int, int], n_classes: int, *, width: int = 2) -> nn.Module:
    """One convolution and a linear layer."""
    channels, height, side = shape
    flat = nn.Flatten()
    return nn.Sequential(nn.Conv2d(channels, width, 3, 2), nn.ReLU(), flat, nn.Linear(9 * width, n_classes))
'''

SCHEME = '''\
"""What a lab adds: a scheme with a constant of another file."""

from dataclasses import dataclass

from lab_constants import CEILING
from torch import full, nn

import faultbench as fb
from faultbench.schemes import Fitted, Saturate


@fb.scheme("lab_ceiling")
@dataclass(frozen=True)
class Ceiling:
    """Clamp every activation at a constant."""

    share: float = 1.0

    def granularity_at(self, site, *, is_last):
        return "layer"

    def activation(self, bounds):
        return Saturate(bounds)

    def fit(self, fitting):
        return Fitted({site.name: full((), self.share * CEILING) for site in fitting.network.sites})
'''

DATA = '''\
"""What a lab adds: data, a number format and a fault model."""

from typing import ClassVar

import numpy as np
import torch

from faultbench import dataset, fault_model, number_format
from faultbench.datasets import Images, Splits
from faultbench.memory import FaultMap
from faultbench.memory.formats.ieee754 import Float32


@dataset("lab_data")
class LabData:
    """Noise in two classes."""

    shape: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    n_classes: ClassVar[int] = 2
    n_test: ClassVar[int] = 4

    def load(self):
        return Splits(*3 * [Images(torch.randn(4, 1, 8, 8), torch.arange(4) % 2)])


@number_format("lab_float<bits>")
def lab_float(bits: int) -> Float32:
    """Single precision by another name."""
    assert bits == 32
    return Float32()


@fault_model("lab_fault")
class LabFault:
    """The first bit."""

    def draw(self, space, *, ber, seed, trial):
        return FaultMap(np.array([0]))
'''

CAMPAIGN = """\
name: lab
plugins: [lab_models, lab_schemes]
datasets: [digits]
models: [lab_net]
schemes: [relu, lab_ceiling]
bers: [1e-3]
trials: 3
"""

FILES = {
    "lab_models.py": NET,
    "lab_schemes.py": SCHEME,
    "lab_data.py": DATA,
    "lab_constants.py": "CEILING = 4.0\n",
    "lab.yaml": CAMPAIGN,
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files by their path in the folder, and create the folders that they need."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@contextmanager
def leaving_no_module(folder: Path) -> Iterator[None]:
    """Remove the folder and its modules from Python's search path and imported modules after the block."""
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]
