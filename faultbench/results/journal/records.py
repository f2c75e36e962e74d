"""The kinds of record that a journal holds: trials, golden runs and overheads, as counts, and quarantines.

`to_record` gives the plain JSON form, `from_record` reads it back; both constructors and `from_record` raise
ValueError for anything that no run can have produced, so whoever holds one of these holds a sound one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from operator import itemgetter
from typing import Any, ClassVar, Self

from faultbench.results.journal.trial_rules import TEXTS, broken_rule, counts

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """To and from the plain JSON form: the fields, plus `kind`."""

    KIND: ClassVar[str]

    def to_record(self) -> dict[str, Any]:
        """The fields and `kind`, as JSON holds them; those with a default of None only where they say something."""
        # Every field is in __dict__, in its order: a hundred thousand trials are read in a second, not in two.
        record: dict[str, Any] = {"kind": self.KIND, **self.__dict__}
        optional: tuple[str, ...] = self.__match_args__[len(self._needed()) :]
        for name in optional:
            if record[name] is None:
                del record[name]
        return record

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """What the record holds; another kind, a missing or a foreign field is a ValueError.

        A field with a default may be missing: earlier versions did not write it.
        """
        values = dict(record)
        if values.pop("kind", None) != cls.KIND or not cls._needed() <= values.keys() <= cls._known():
            raise ValueError(f"no {cls.KIND} record: {dict(record)}")
        made = object.__new__(cls)
        # As `cls(**values)` would, which sets field after field and takes a fifth of the time of reading a journal.
        vars(made).update({**cls._unsaid(), **values})
        made.__post_init__()
        return made

    def __post_init__(self) -> None:
        """ValueError for what no run can have produced."""

    @classmethod
    @cache
    def _needed(cls) -> frozenset[str]:
        """The fields without a default; they come first."""
        return frozenset(field.name for field in fields(cls) if field.default is MISSING)

    @classmethod
    @cache
    def _known(cls) -> frozenset[str]:
        return frozenset(cls.__match_args__)

    @classmethod
    @cache
    def _unsaid(cls) -> Record:
        """Every field in its order, None: what those are that have a default and are not given."""
        return dict.fromkeys(cls.__match_args__)


@dataclass(frozen=True)
class Trial(Recorded):
    """One trial of a cell: what its flips did to the images.

    Every image is masked, an SDC (finite logits, another top-1 than the golden run) or a DUE (logits not all
    finite); an SDC is critical when the golden run was right. `flips_digest` names the fault map.

    A trial that looked at some of its cell's images says how many of them the golden run had right, and how many
    of those are DUEs; one that looked at all of them leaves both None. A trial whose flips were drawn in a stratum of
    its cell says in which, from 0.
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
        """The most images that any count of another run of this trial differs by; None where its flips differ."""
        if (self.cell, self.trial, self.flips_digest) != (other.cell, other.trial, other.flips_digest):
            return None
        names = (name for name in self.__match_args__ if name.startswith("n_"))
        counts: list[tuple[int, int]] = [(getattr(self, name) or 0, getattr(other, name) or 0) for name in names]
        return max(abs(one - another) for one, another in counts)

    def __post_init__(self) -> None:
        check_text(self, *TEXTS)
        check_counts(self, *counts(vars(self)))
        if broken := broken_rule(self):
            raise ValueError(f"{broken}: {self}")


@dataclass(frozen=True)
class Quarantine(Recorded):
    """A trial that brought down its worker, or raised, n_deaths times; it counts as missing, never as a number."""

    KIND: ClassVar[str] = "quarantine"
    cell: str
    trial: int
    n_deaths: int
    reason: str

    def __post_init__(self) -> None:
        check_text(self, "cell", "reason")
        check_counts(self, "trial", "n_deaths")
        _check_at_least_one(self, "n_deaths")


@dataclass(frozen=True)
class Golden(Recorded):
    """The golden run of a subject, and the size of the fault space that its trials draw from.

    `top1_digest` names the class that each image was put into: trials are judged against these.
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
        _check_at_least_one(self, "n_images", "n_bits")
        _check_at_most(self, "n_correct", "n_images")


@dataclass(frozen=True)
class Overhead(Recorded):
    """What protecting a subject costs against the unprotected network.

    `latency_ratio` and its interval are None where latency was not measured; `macs` counts the multiply-
    accumulates of one image; `fit_injections` the trials that fitting the bounds took. `bounds_to_maxima` is the
    median of bound / profiled maximum, None where nothing is bounded and in records of earlier versions.
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
        _check_at_least_one(self, "parameters")
        _check_amount("fit_seconds", self.fit_seconds)
        if self.bounds_to_maxima is not None:
            _check_finite("bounds_to_maxima", self.bounds_to_maxima)
        self._check_latency()

    def _check_latency(self) -> None:
        given = (self.latency_ratio_ci_low, self.latency_ratio, self.latency_ratio_ci_high)
        interval = [value for value in given if value is not None]
        for value in interval:
            _check_amount("latency_ratio", value)
        if len(interval) not in (0, len(given)) or interval != sorted(interval):
            raise ValueError(f"a latency ratio must lie inside its interval, low, ratio, high, not {given}")


def check_text(record: object, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name} must be a text that is not empty, not {value!r}")


LARGEST = 2**63 - 1
"""What tables can hold."""

_WHOLE = {int}
"""Types of counts."""


@cache
def _values(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What takes the values of these names out of a mapping."""
    first = itemgetter(*names)
    return first if len(names) > 1 else lambda values: (first(values),)


def check_counts(record: object, *names: str) -> None:
    values = _values(names)(vars(record))
    if set(map(type, values)) == _WHOLE and min(values) >= 0 and max(values) <= LARGEST:
        return
    # A numpy integer is refused here rather than by json, far from the place that made it.
    for name, value in zip(names, values, strict=True):
        if type(value) is not int or not 0 <= value <= LARGEST:
            raise ValueError(f"{name} must be a whole number, 0 to 2^63 - 1, not {str(value)[:40]}")


def _check_at_least_one(record: object, *names: str) -> None:
    for name in names:
        if getattr(record, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(record, name)}")


def _check_at_most(record: object, name: str, limit: str) -> None:
    if getattr(record, name) > getattr(record, limit):
        raise ValueError(f"{name} must be at most {limit}: {record}")


def _check_finite(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")


def _check_amount(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf or value > LARGEST:
        raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
