"""How many trials a cell gets: a fixed number, or as many as its interval needs; when one looks, and how sure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

CONFIDENCE = 0.95
"""Of every interval that tables print and plots draw, unless the campaign asks for another."""

MAX_COUNT = 10**9

N_PILOT = 30
"""Trials of a cell that say how many images pay."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class Until(BaseModel):
    """What a cell is to reach."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    accuracy_halfwidth: float = Field(
        gt=0, lt=0.5, description="half of the interval of the mean accuracy, as a fraction, such as 0.01"
    )
    confidence: float = Field(CONFIDENCE, ge=0.5, lt=1, description="of the cell's intervals, however long it ran")


class AdaptiveTrials(BaseModel):
    """Trials until the interval is narrow enough."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max: Count = Field(description="trials a cell, at most")
    min: Count = Field(30, description="trials before the first look at a cell's interval")
    until: Until = Field(description="what ends a cell, such as {accuracy_halfwidth: 0.01}")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise PydanticCustomError("order", f"min must be at most max; min is {self.min:,}, max {self.max:,}")
        return self


@dataclass(frozen=True)
class Rule:
    """At most n_max trials; without until exactly so many."""

    n_max: int
    n_min: int = 0
    until: Until | None = None
    n_pilot: int = 0
    """First trials that the others wait for: how many images these look at hangs on them."""

    @classmethod
    def read(cls, trials: int | Mapping[str, Any] | AdaptiveTrials, images: Any = "all") -> Self:
        """The rule that the keys `trials` and `images` give, in plain JSON; a foreign value is a ValueError."""
        per_trial = images.get("per_trial") if isinstance(images, Mapping) else images
        n_pilot = N_PILOT if per_trial == "auto" else 0
        if isinstance(trials, int):
            return cls(trials, n_pilot=min(n_pilot, trials))
        adaptive = AdaptiveTrials.model_validate(trials)
        return cls(adaptive.max, adaptive.min, adaptive.until, min(n_pilot, adaptive.max))

    @cached_property
    def looks(self) -> tuple[int, ...]:
        """After how many trials a cell's interval is looked at: n_min, half as many again each time, n_max."""
        looks = [self.n_min] if self.until else [self.n_max]
        while looks[-1] < self.n_max:
            looks.append(min(looks[-1] + (looks[-1] + 1) // 2, self.n_max))
        return tuple(looks)

    @property
    def asked_text(self) -> str:
        """What a cell that is LIMITED falls short of, for captions: "fewer trials than …"."""
        if self.until is None:
            return f"the {self.n_max:,} asked for"
        return f"it takes to reach ±{100 * self.until.accuracy_halfwidth:g} points"

    @property
    def confidence(self) -> float:
        """Of every interval of the campaign's cells."""
        return self.until.confidence if self.until else CONFIDENCE

    @property
    def interval_kind(self) -> str:
        """What intervals of means are called: `betting`, or `betting-sequence` where the outcomes ended the trials."""
        return "betting-sequence" if self.until else "betting"

    @property
    def interval_text(self) -> str:
        """For captions: "95% betting interval"."""
        return f"{100 * self.confidence:g}% {self.interval_kind} interval"

    @property
    def confidence_a_look(self) -> float:
        """What an interval needs that knows no stopping, so that those of all looks hold together.

        Each of k looks fails with at most a k-th of what is allowed; the sum bounds the chance that any fails.
        """
        return 1 - (1 - self.confidence) / len(self.looks)
