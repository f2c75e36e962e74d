"""Canonical text of a record and the key made from it. Records that mean the same have equal keys."""

import hashlib
import json
from typing import Any

RESULTS_VERSION = 2
"""Version of results. Raise it if a trial of the same campaign gives other counts; earlier results are then redone."""

OWN_NETWORKS_VERSION = 2
"""Version of results of a lab's own networks. Raise it if only their counts change."""

_KEY_DIGITS = 32


def canonical_text(value: Any) -> str:
    """Return JSON in ASCII with sorted keys and no spaces. NaN and ±inf, which JSON lacks, raise ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(record: Any) -> str:
    """Return the first 32 hex digits of the SHA-256 of a record's canonical text."""
    return hashlib.sha256(canonical_text(record).encode("ascii")).hexdigest()[:_KEY_DIGITS]
