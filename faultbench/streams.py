"""Random streams named by what they are for, so that no draw depends on what was drawn before it."""

import hashlib
from typing import Any

import numpy as np


def seed_of(*parts: Any) -> int:
    """A 128-bit seed from the parts' text; different parts give independent streams."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(*parts: Any) -> np.random.Generator:
    """The numpy stream of these parts."""
    return np.random.Generator(np.random.PCG64(seed_of(*parts)))
