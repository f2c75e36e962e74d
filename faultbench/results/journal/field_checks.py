"""Checks of the fields of a record: texts that print, counts that JSON and tables hold exactly, finite numbers."""

from collections.abc import Callable, Mapping
from functools import cache
from operator import itemgetter
from typing import Any

from faultbench.results.journal.trial_rules import LARGEST, LONGEST_NAME


def check_text(record: object, *names: str) -> None:
    """Raise ValueError unless these fields are printable texts of at most `LONGEST_NAME` characters."""
    for name in names:
        value = getattr(record, name)
        if not isinstance(value, str) or not value or len(value) > LONGEST_NAME or not value.isprintable():
            raise ValueError(
                f"{name} must be a printable text of 1 to {LONGEST_NAME} characters, not {str(value)[:40]!r}"
            )


_WHOLE = {int}
"""Types that counts may have."""


@cache
def _values(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return a function that gets the values of these names from a mapping."""
    getter = itemgetter(*names)
    return getter if len(names) > 1 else lambda values: (getter(values),)


def check_counts(record: object, *names: str) -> None:
    """Raise ValueError unless these fields are whole numbers from 0 to `LARGEST`."""
    values = _values(names)(vars(record))
    if set(map(type, values)) == _WHOLE and min(values) >= 0 and max(values) <= LARGEST:
        return
    # A numpy integer is refused here: json would refuse it far from the place that made it.
    for name, value in zip(names, values, strict=True):
        if type(value) is not int or not 0 <= value <= LARGEST:
            raise ValueError(f"{name} must be a whole number, 0 to 2^53 - 1, not {str(value)[:40]}")


def check_at_least_one(record: object, *names: str) -> None:
    """Raise ValueError if one of these fields is less than 1."""
    for name in names:
        if getattr(record, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(record, name)}")


def check_at_most(record: object, name: str, limit: str) -> None:
    """Raise ValueError if a field is more than the field limit."""
    if getattr(record, name) > getattr(record, limit):
        raise ValueError(f"{name} must be at most {limit}: {record}")


def check_finite(name: str, value: object) -> None:
    """Raise ValueError unless the value is a finite number; the field is called name in the message."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{name} must be a finite number, not {str(value)[:40]}")


def check_amount(name: str, value: object) -> None:
    """Raise ValueError unless the value is a finite number from 0; the field is called name in the message."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        raise ValueError(f"{name} must be a finite number, at least 0, not {str(value)[:40]}")
