"""Records that a journal holds: trials, golden runs and overheads, as counts, and quarantines.

`to_record` gives the plain JSON form, `from_record` reads it back. Constructors and `from_record` raise ValueError for
anything that no run can have produced, so every record object is valid.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, ClassVar, Self

from faultbench.results.journal.field_checks import (
    check_amount,
    check_at_least_one,
    check_at_most,
    check_counts,
    check_finite,
    check_text,
)
from faultbench.results.journal.trial_rules import TEXTS, broken_rule, count_names

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """Base class of records: conversion to and from the plain JSON form, the fields and `kind`."""

    KIND: ClassVar[str]

    def to_record(self) -> dict[str, Any]:
        """Return the fields and `kind`, as JSON holds them, without optional fields that are None."""
        # __dict__ has every field in its order; it halves the time of a hundred thousand trials.
        record: dict[str, Any] = {"kind": self.KIND, **self.__dict__}
        optional: tuple[str, ...] = self.__match_args__[len(self._needed()) :]
        for name in optional:
            if record[name] is None:
                del record[name]
        return record

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return the object that a record holds; ValueError for another kind, a missing field or an unknown one.

        A field with a default may be missing: earlier versions did not write it.
        """
        values = dict(record)
        if values.pop("kind", None) != cls.KIND or not cls._needed() <= values.keys() <= cls._known():
            raise ValueError(f"no {cls.KIND} record: {dict(record)}")
        read = object.__new__(cls)
        # Faster than `cls(**values)`, which sets field after field and takes a fifth of the time of reading a journal.
        vars(read).update({**cls._defaults(), **values})
        read.__post_init__()
        return read

    def __post_init__(self) -> None:
        """Raise ValueError for fields that no run can have produced."""

    @classmethod
    @cache
    def _needed(cls) -> frozenset[str]:
        """Return the fields without a default; they come first."""
        return frozenset(field.name for field in fields(cls) if field.default is MISSING)

    @classmethod
    @cache
    def _known(cls) -> frozenset[str]:
        return frozenset(cls.__match_args__)

    @classmethod
    @cache
    def _defaults(cls) -> Record:
        """Return every field in its order with the value None, the default of optional fields."""
        return dict.fromkeys(cls.__match_args__)


@dataclass(frozen=True)
class Trial(Recorded):
    """Trial of a cell: the outcomes of its images under its flips.

    Every image is masked, an SDC (finite logits, another top-1 class than the golden run) or a DUE (logits not all
    finite). An SDC is critical if the golden run is right. `flips_digest` names the fault map.

    A trial over a sample of the images has `n_golden_correct`, how many of them the golden run has right, and
    `n_due_critical`, how many of those are DUEs; a trial over all images has None. `stratum` is the stratum, from 0, in
    which the flips were drawn.
    """

    KIND: ClassVar[str] = "trial"
    cell: str
    trial: int
    n_flips: int
    n_images: int
    n_correct: int
    n_masked: int
    n_sdc: int
    n_sdc_critical: int
    n_due: int
    flips_digest: str
    n_golden_correct: int | None = None
    n_due_critical: int | None = None
    stratum: int | None = None

    def images_apart(self, other: "Trial") -> int | None:
        """Return the largest difference of a count between two runs of this trial; None if their flips differ."""
        if (self.cell, self.trial, self.flips_digest) != (other.cell, other.trial, other.flips_digest):
            return None
        names = (name for name in self.__match_args__ if name.startswith("n_"))
        counts: list[tuple[int, int]] = [(getattr(self, name) or 0, getattr(other, name) or 0) for name in names]
        return max(abs(mine - theirs) for mine, theirs in counts)

    def __post_init__(self) -> None:
        check_text(self, *TEXTS)
        check_counts(self, *count_names(vars(self)))
        if broken := broken_rule(self):
            raise ValueError(f"{broken}: {self}")


@dataclass(frozen=True)
class Quarantine(Recorded):
    """Trial that killed its worker, or raised, n_deaths times; it has no counts and stays missing in results."""

    KIND: ClassVar[str] = "quarantine"
    cell: str
    trial: int
    n_deaths: int
    reason: str

    def __post_init__(self) -> None:
        check_text(self, "cell")
        if not isinstance(self.reason, str) or not 0 < len(self.reason) <= LONGEST_REASON:
            raise ValueError(f"reason must be a text of 1 to {LONGEST_REASON:,} characters")
        check_counts(self, "trial", "n_deaths")
        check_at_least_one(self, "n_deaths")


@dataclass(frozen=True)
class Golden(Recorded):
    """Golden run of a subject, and the size of the fault space that its trials draw from.

    `top1_digest` is a digest of the top-1 class of each image; trials are compared with these classes.
    """

    KIND: ClassVar[str] = "golden"
    subject: str
    n_images: int
    n_correct: int
    n_bits: int
    top1_digest: str

    def __post_init__(self) -> None:
        check_text(self, "subject", "top1_digest")
        check_counts(self, "n_images", "n_correct", "n_bits")
        check_at_least_one(self, "n_images", "n_bits")
        check_at_most(self, "n_correct", "n_images")


@dataclass(frozen=True)
class Overhead(Recorded):
    """Overhead of a protected subject against the unprotected network.

    `latency_ratio` and its interval are None if latency was not measured. `macs` counts the multiply-accumulate
    operations of one image, `fit_injections` the fault injections of fitting the bounds. `bounds_to_maxima` is the
    median of bound / profiled maximum; it is None without bounds and in records of earlier versions.
    """

    KIND: ClassVar[str] = "overhead"
    subject: str
    parameters: int
    bounds: int
    extra_bits: int
    macs: int
    latency_ratio: float | None
    latency_ratio_ci_low: float | None
    latency_ratio_ci_high: float | None
    fit_seconds: float
    fit_epochs: int
    fit_injections: int
    bounds_to_maxima: float | None = None

    def __post_init__(self) -> None:
        check_text(self, "subject")
        check_counts(self, "parameters", "bounds", "extra_bits", "macs", "fit_epochs", "fit_injections")
        check_at_least_one(self, "parameters")
        check_amount("fit_seconds", self.fit_seconds)
        if self.bounds_to_maxima is not None:
            check_finite("bounds_to_maxima", self.bounds_to_maxima)
        self._check_latency()

    def _check_latency(self) -> None:
        values = (self.latency_ratio_ci_low, self.latency_ratio, self.latency_ratio_ci_high)
        interval = [value for value in values if value is not None]
        for value in interval:
            check_amount("latency_ratio", value)
        if len(interval) not in (0, len(values)) or interval != sorted(interval):
            raise ValueError(f"a latency ratio must lie inside its interval, low, ratio, high, not {values}")


LONGEST_REASON = 20_000
"""Most characters of the reason of a quarantine."""
