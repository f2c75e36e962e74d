"""Checks of arguments of functions that scripts call. The error names the argument and says what would be right."""

import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, SupportsFloat

from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import shortened

LONGEST = 60
"""Most characters of a given value that a message repeats."""


def whole_number(where: str, value: object, *, lowest: int, highest: int = 2**63 - 1) -> int:
    """Return a whole number, such as one of numpy, as an int. True and 3.0 are refused. where names the argument."""
    if not isinstance(value, bool | float):
        try:
            number = operator.index(value)  # type: ignore[arg-type]  # it raises TypeError for other values
        except TypeError:
            number = lowest - 1
        if lowest <= number <= highest:
            return number
    span = f" from {lowest}" if lowest > -(2**63) else ""
    return refuse(where, value, f"a whole number{span}" + (f" to {highest}" if highest < 2**63 - 1 else ""))


def number(where: str, value: object, *, lowest: float, highest: float) -> float:
    """Return a number, such as one of numpy, as a float. NaN and True are refused. where names the argument."""
    if isinstance(value, SupportsFloat) and not isinstance(value, bool):
        try:
            converted = float(value)
        except (TypeError, ValueError, RuntimeError):  # an array or a tensor of several numbers
            converted = lowest - 1
        if lowest <= converted <= highest:
            return converted
    return refuse(where, value, f"{lowest:g} to {highest:g}")


def text(where: str, value: object, wanted: str) -> str:
    """Return a text unchanged. wanted says in words what it should be."""
    return value if isinstance(value, str) else refuse(where, value, wanted)


def choice(where: str, value: object, choices: Sequence[str]) -> str:
    """Return a text unchanged if it is one of the choices."""
    return value if isinstance(value, str) and value in choices else refuse(where, value, " or ".join(choices))


def path(where: str, value: object, wanted: str) -> Path:
    """Return a path or a text as a Path that a file can have. wanted says in words what it should be."""
    if not isinstance(value, str | Path):
        refuse(where, value, wanted)
    try:
        holds_zero = b"\0" in os.fsencode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, which no byte encodes
        holds_zero = True
    if holds_zero:
        raise FaultbenchError(f"{where} must be {wanted}; no file can be called {describe_argument(str(value))}")
    return Path(value)


def refuse(where: str, value: object, wanted: str) -> NoReturn:
    """Raise a FaultbenchError that says what is wanted and what was given."""
    raise FaultbenchError(f"{where} must be {wanted}; given {describe_argument(value)}")


def describe_argument(value: object) -> str:
    """Return a short description of a value: a number or text itself, or the type of anything else."""
    if value is None or isinstance(value, bool | int | float | str):
        return shortened(repr(value), LONGEST)
    if isinstance(value, type):
        return f"the class {shortened(value.__name__, LONGEST)}"
    return f"a {shortened(type(value).__name__, LONGEST)}"
