"""Field types and base classes that the models of campaign files and of recorded files share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_COUNT = 10**9

Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
"""Number of trials, images or epochs."""

Ber = Annotated[float, Field(strict=True, gt=0, le=0.5)]
"""Bit error rate; the bounds refuse NaN too."""

CampaignName = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]

Sampling = Literal["plain", "stratified"]
"""How the flips of a trial are drawn."""

ImagesPerTrial = int | Literal["auto"] | None
"""Number of test images that a trial draws. None is all of them; with "auto" the first trials of a cell decide."""


class StrictModel(BaseModel):
    """Mapping of a campaign file: unknown keys are errors, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class FrozenModel(StrictModel):
    """Mapping of a campaign file whose values stay as they were read."""

    model_config = ConfigDict(frozen=True)
