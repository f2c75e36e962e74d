"""Types of the texts in recorded files: keys, labels of one printable line, digests."""

from typing import Annotated

from pydantic import AfterValidator, PlainValidator, StringConstraints, ValidationError

from faultbench.results.journal.trial_rules import LONGEST_NAME
from faultbench.system.printable import shortened


def one_printable_line(text: str) -> str:
    """Return the text; ValueError unless it prints on one line."""
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


def _text(value: object) -> str:
    # Not the check of pydantic: paths can hold surrogates, which stand for bytes that are no UTF-8.
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must be a text without a zero byte")
    return value


def first_error(error: ValidationError) -> str:
    """Return the place and the reason of the first value that a model refuses, on one short line."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(step)[:40] for step in first["loc"][:12])
    return shortened(" ".join(f"{where}: {first['msg']}".removeprefix(": ").split()), 300)


Key = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{16,64}$")]
"""Key of a cell, a subject or a campaign: a digest in hex."""

Digest = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9A-Za-z]{1,128}$")]
"""Digest of a file, of images or of weights."""

Line = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=LONGEST_NAME), AfterValidator(one_printable_line)
]
"""A label, as tables and plots print it."""

Text = Annotated[str, PlainValidator(_text)]
"""Any text that a path or an argument can be; it is escaped when it is printed."""

NetworkText = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=2000), AfterValidator(one_printable_line)
]
"""Labels of a data set, a network and a format, joined."""
