"""Canonical text of a record and the key made from it: equal for everything that means the same."""

import hashlib
import json
from typing import Any

LAW = 2
"""Raised when a trial of the same campaign would give other counts: earlier results then answer no longer."""

_KEY_DIGITS = 32


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, ASCII only; NaN and ±inf, which JSON cannot say, raise ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(record: Any) -> str:
    """32 hex digits of the SHA-256 of a record's canonical text."""
    return hashlib.sha256(canonical(record).encode("ascii")).hexdigest()[:_KEY_DIGITS]
