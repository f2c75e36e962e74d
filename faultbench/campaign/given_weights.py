"""What a campaign says of weights that are given: where they lie, and how they become the network's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_CHANNELS = 1000


class Normalisation(BaseModel):
    """What the network does to raw pixels first: (pixel − mean) / std, channel by channel."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mean: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(
        min_length=1, max_length=MAX_CHANNELS, description="one number a channel, such as [0.485, 0.456, 0.406]"
    )
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        min_length=1, max_length=MAX_CHANNELS, description="one number above 0 a channel, such as [0.229, 0.224, 0.225]"
    )

    @model_validator(mode="after")
    def _of_equal_length(self) -> "Normalisation":
        if len(self.mean) != len(self.std):
            reason = f"mean is of {len(self.mean)} channels, std of {len(self.std)}: give one number a channel in both"
            raise PydanticCustomError("channels", "{reason}", {"reason": reason})
        return self


class Weights(BaseModel):
    """A file of weights, and what must be known of it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    file: str = Field(description="safetensors, or a torch checkpoint of a state dict")
    keys: dict[str, str] = Field(
        {},
        description="prefix of names in the file → what the network has in its place, such as {backbone.: features.}; "
        "by default module. is stripped where all names of a checkpoint have it",
    )
    normalisation: Normalisation | None = Field(
        None, description="{mean: […], std: […]} a channel, where the weights expect normalised pixels; no memory"
    )
    golden_accuracy: float | None = Field(
        None, gt=0, le=1, description="declared share of all test images that the network gets right, before faults"
    )
    tolerance: float = Field(
        0.005, ge=0, lt=1, description="how far the share found may be from golden_accuracy; farther is an error"
    )


@dataclass(frozen=True)
class GivenWeights:
    """Weights to load instead of training."""

    path: Path
    """Absolute."""
    digest: str
    """SHA-256 of the file in hex, as it was when the campaign was read."""
    keys: tuple[tuple[str, str], ...] = ()
    """Prefix → replacement, sorted."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Of each channel; empty where the network takes raw pixels."""
    golden_accuracy: float | None = None
    tolerance: float = 0.0

    @property
    def record(self) -> Any:
        """What changes the network that runs; the declared accuracy is checked and changes nothing."""
        normalisation = {"normalisation": {"mean": list(self.mean), "std": list(self.std)}} if self.mean else {}
        keys: Mapping[str, Any] = {"keys": dict(self.keys)} if self.keys else {}
        return {"file": self.digest, **keys, **normalisation} if keys or normalisation else self.digest


def given_weights(weights: str | Weights, path: Path, digest: str) -> GivenWeights:
    """The weights of an entry whose file was found."""
    if isinstance(weights, str):
        return GivenWeights(path, digest)
    normalisation = weights.normalisation
    return GivenWeights(
        path=path,
        digest=digest,
        keys=tuple(sorted(weights.keys.items())),
        mean=() if normalisation is None else tuple(normalisation.mean),
        std=() if normalisation is None else tuple(normalisation.std),
        golden_accuracy=weights.golden_accuracy,
        tolerance=weights.tolerance,
    )
