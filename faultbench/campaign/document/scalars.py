"""What an unquoted word of a campaign file means: a number, a truth, nothing, or itself.

The core schema of YAML 1.2, where YAML 1.1 reads `1e-7` as text, `no` as false, `010` as 8 and `1:30` as 90.
"""

import math
import re

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 100
"""Characters of an integer; beyond some thousand digits Python's own conversions refuse."""

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def meaning(word: str) -> str | int | float | bool | None:
    """The value of a word; NaN, ±inf and absurdly large numbers stay text, which is no number."""
    if word in _WORDS:
        return _WORDS[word]
    if len(word) <= _LONGEST_NUMBER and _INTEGER.fullmatch(word):
        return int(word, 0 if word[:2] in ("0o", "0x") else 10)
    if _NUMBER.fullmatch(word) and math.isfinite(number := float(word)):
        return number
    return word
