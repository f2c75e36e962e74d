"""Number of trials per cell: a fixed number, or as many as the interval of the cell needs.

An interval for a fixed number holds if the number was fixed before anybody saw outcomes. A number above the one that
results were first shown with may have been raised because of them. Its intervals are those of a sequence, which hold at
any number of looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from faultbench.campaign.fields import Count, FrozenModel

CONFIDENCE = 0.95
"""Confidence of every interval in tables and plots, unless the campaign sets another."""

N_PILOT = 30
"""First trials of a cell, from which `images: auto` derives the number of images per trial."""


class StoppingTarget(FrozenModel):
    """Precision at which the trials of a cell end."""

    accuracy_halfwidth: float = Field(
        gt=0, lt=0.5, description="half width of the interval of the mean accuracy, as a fraction, such as 0.01"
    )
    confidence: float = Field(
        CONFIDENCE, ge=0.5, lt=1, description="confidence of the intervals of each cell, however many trials it ran"
    )


class AdaptiveTrials(FrozenModel):
    """Trials that run until the interval of a cell is narrow enough."""

    max: Count = Field(description="largest number of trials per cell")
    min: Count = Field(30, description="trials per cell before its interval is first examined")
    until: StoppingTarget = Field(description="what ends a cell, such as {accuracy_halfwidth: 0.01}")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise PydanticCustomError("order", f"min must be at most max; min is {self.min:,}, max {self.max:,}")
        return self


@dataclass(frozen=True)
class StoppingRule:
    """Number of trials per cell: at most n_max, or exactly n_max if `until` is None."""

    n_max: int
    n_min: int = 0
    until: StoppingTarget | None = None
    n_pilot: int = 0
    """First trials of a cell that decide how many images the later trials use; the later ones wait for them."""
    n_raised: int = 0
    """How many times the number of trials was raised after results with fewer had been shown."""

    @classmethod
    def read(
        cls,
        trials: int | Mapping[str, Any] | AdaptiveTrials,
        images: Any = "all",
        asked_before: Sequence[int] = (),
    ) -> Self:
        """Return the rule of a campaign's `trials` and `images`, in plain JSON. Other values raise ValueError.

        asked_before are the numbers of trials that results were shown with, in the order of time. A number up to the
        first of them was not raised, as the trials beyond it are left out.
        """
        per_trial = images.get("per_trial") if isinstance(images, Mapping) else images
        n_pilot = N_PILOT if per_trial == "auto" else 0
        if isinstance(trials, int):
            n_raised = sum(n < trials for n in asked_before) if asked_before and trials > asked_before[0] else 0
            return cls(trials, n_pilot=min(n_pilot, trials), n_raised=n_raised)
        adaptive = AdaptiveTrials.model_validate(trials)
        return cls(adaptive.max, adaptive.min, adaptive.until, min(n_pilot, adaptive.max))

    @cached_property
    def looks(self) -> tuple[int, ...]:
        """Return the trial counts at which the interval of a cell is examined.

        They begin with n_min, each is half as large again as the one before, and the last is n_max.
        """
        looks = [self.n_min] if self.until else [self.n_max]
        while looks[-1] < self.n_max:
            looks.append(min(looks[-1] + (looks[-1] + 1) // 2, self.n_max))
        return tuple(looks)

    @property
    def n_aimed_at(self) -> int:
        """Return the number of trials per cell that designs aim at: n_max, or 300 at most if `until` decides."""
        return self.n_max if self.until is None else min(self.n_max, 300)

    @property
    def is_sequence(self) -> bool:
        """Return whether intervals must hold at any number of looks: outcomes can have decided how many trials ran."""
        return self.until is not None or self.n_raised > 0

    @property
    def target_text(self) -> str:
        """Return the words that complete the caption "fewer trials than …" of a LIMITED cell."""
        if self.until is None:
            return f"the {self.n_max:,} asked for"
        return f"it takes to reach ±{100 * self.until.accuracy_halfwidth:g} points"

    @property
    def confidence(self) -> float:
        """Return the confidence of every interval of the campaign's cells."""
        return self.until.confidence if self.until else CONFIDENCE

    @property
    def interval_kind(self) -> str:
        """Return the name of the intervals of means: `betting-sequence` if `is_sequence`, else `betting`."""
        return "betting-sequence" if self.is_sequence else "betting"

    @property
    def interval_text(self) -> str:
        """Return the description of an interval for captions, such as "95% betting interval"."""
        return f"{100 * self.confidence:g}% {self.interval_kind} interval"

    @property
    def confidence_per_look(self) -> float:
        """Return the confidence that a fixed-size interval needs at each look, so that those of all looks hold.

        Each of k looks may fail with at most 1/k of the allowed probability. The sum bounds the probability that any
        of them fails. If trials are raised, k is not known beforehand: look k may fail with 1/(k(k + 1)) of it.
        """
        n_looks = len(self.looks) if self.until else (self.n_raised + 1) * (self.n_raised + 2) if self.n_raised else 1
        return 1 - (1 - self.confidence) / n_looks
