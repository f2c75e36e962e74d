"""Labels as tables hold them: what protects a network, and escapes for spreadsheets and Markdown; needs no pandas."""

import re

from faultbench.system.printable import printable

_FORMULA = re.compile(r"^[=+@\t\r-]")
"""Matches the start of a text that a spreadsheet takes for a formula."""

_MARKDOWN = re.compile(r"[\\`*|<>&\[\]~#]|(?<![^\W_])_|_(?![^\W_])")
"""Matches what Markdown interprets; an underscore between two letters or digits means nothing to it."""


def protection(scheme: str, guard: str) -> str:
    """Return the name of a scheme with its guard, as legends and tables have it."""
    return scheme if guard == "none" else f"{scheme} + {guard}"


def escape_formula(text: str) -> str:
    """Return a label as a CSV field holds it: with a quote before what a spreadsheet would take for a formula."""
    return _FORMULA.sub(r"'\g<0>", text)


def escape_markdown(text: str) -> str:
    """Return the text as Markdown prints it letter by letter: no end of a table's cell, no HTML, link or picture."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(text))
