"""Weights that a campaign gives instead of training: how they become the network's weights, and the file itself.

The file is a regular one of a plausible size, read whole or digested without waiting.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from faultbench.campaign.fields import StrictModel
from faultbench.system.files.regular_files import UnsoundFileError, opened_regular, read_at_most

MAX_CHANNELS = 1000

MAX_BYTES = 2**33
"""Most bytes of a file of weights: 2 billion float32 values, or a fifth of that with an optimiser's state."""


class Normalisation(StrictModel):
    """Normalisation that the network applies to raw pixels first: (pixel − mean) / std for each channel."""

    mean: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(
        min_length=1, max_length=MAX_CHANNELS, description="one number per channel, such as [0.485, 0.456, 0.406]"
    )
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        min_length=1,
        max_length=MAX_CHANNELS,
        description="one number above 0 per channel, such as [0.229, 0.224, 0.225]",
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.mean) != len(self.std):
            problem = (
                f"mean has {len(self.mean)} channels, std has {len(self.std)}: give one number per channel in both"
            )
            raise PydanticCustomError("channels", "{problem}", {"problem": problem})
        return self


class WeightsEntry(StrictModel):
    """Value of `weights` in a campaign file: a file of weights, and how to read it."""

    file: str = Field(description="safetensors file, or a torch checkpoint of a state dict")
    keys: dict[str, str] = Field(
        {},
        description="prefix of names in the file → prefix in the network, such as {backbone.: features.}; "
        "by default module. is removed if all names of a checkpoint begin with it",
    )
    drop: list[Annotated[str, Field(min_length=1)]] = Field(
        [],
        description="names in the file to leave out, or shell patterns of them, such as [n_averaged, aux.*]; "
        "each must match a name",
    )
    state_dict: str | None = Field(
        None,
        description="entry of a checkpoint that holds the state dict, such as model_ema; by default state_dict if the "
        "checkpoint has it, else the checkpoint itself",
    )
    normalisation: Normalisation | None = Field(
        None,
        description="{mean: […], std: […]} per channel, for weights that expect normalised pixels; faults never hit it",
    )
    golden_accuracy: float | None = Field(
        None, gt=0, le=1, description="expected fraction of all test images that the network gets right without faults"
    )
    tolerance: float = Field(
        0.005, ge=0, lt=1, description="largest allowed distance of the measured accuracy from golden_accuracy"
    )


@dataclass(frozen=True)
class GivenWeights:
    """Weights to load instead of training."""

    path: Path
    """Absolute path of the file."""
    digest: str
    """SHA-256 of the file in hex, computed when the campaign was read."""
    keys: tuple[tuple[str, str], ...] = ()
    """Prefixes and their replacements, sorted."""
    drop: tuple[str, ...] = ()
    """Shell patterns of the names to leave out, sorted."""
    state_dict: str | None = None
    """Entry of a checkpoint that holds the state dict."""
    mean: tuple[float, ...] = ()
    """Mean of each channel; empty if the network takes raw pixels."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel; empty if the network takes raw pixels."""
    golden_accuracy: float | None = None
    tolerance: float = 0.0

    @classmethod
    def from_entry(cls, entry: str | WeightsEntry, path: Path, digest: str) -> Self:
        """Return the weights of a campaign's entry. path and digest are those of the entry's file."""
        if isinstance(entry, str):
            return cls(path, digest)
        normalisation = entry.normalisation
        return cls(
            path=path,
            digest=digest,
            keys=tuple(sorted(entry.keys.items())),
            drop=tuple(sorted(set(entry.drop))),
            state_dict=entry.state_dict,
            mean=() if normalisation is None else tuple(normalisation.mean),
            std=() if normalisation is None else tuple(normalisation.std),
            golden_accuracy=entry.golden_accuracy,
            tolerance=entry.tolerance,
        )

    @property
    def record(self) -> Any:
        """Return everything that changes the network. The declared accuracy is only checked and is left out."""
        settings: dict[str, Any] = {}
        if self.keys:
            settings["keys"] = dict(self.keys)
        if self.drop:
            settings["drop"] = list(self.drop)
        if self.state_dict is not None:
            settings["state_dict"] = self.state_dict
        if self.mean:
            settings["normalisation"] = {"mean": list(self.mean), "std": list(self.std)}
        return {"file": self.digest, **settings} if settings else self.digest


def file_digest(path: Path) -> str:
    """Return the SHA-256 in hex of a file of weights.

    OSError if it cannot be read, UnsoundFileError if it is not a regular file of 1 to MAX_BYTES bytes.
    """
    with _open_weights(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return the content of a file of weights of at most `most` bytes. It raises what `file_digest` raises."""
    with _open_weights(path) as file:
        data = read_at_most(file, most)
    if len(data) > most:
        raise UnsoundFileError(f"more than {most:,} bytes")
    return data


@contextmanager
def _open_weights(path: Path) -> Iterator[BufferedReader]:
    with opened_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if not n_bytes:
            raise UnsoundFileError("an empty file")
        if n_bytes > MAX_BYTES:
            raise UnsoundFileError(f"{n_bytes:,} bytes; a file of weights has at most {MAX_BYTES:,}")
        yield file
