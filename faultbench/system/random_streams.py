"""Random streams, each with a name that says what it is for, so that no draw depends on draws from other streams."""

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


def seed_of(*parts: Any) -> int:
    """Return a 128-bit seed made of the texts of the parts. Different parts give independent streams."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(name: str) -> np.random.Generator:
    """Return the numpy stream of a name. A name that is made of several parts must separate them itself."""
    seed: Any = _Digest(name)  # numpy takes any ISeedSequence; its type stubs do not
    return np.random.Generator(np.random.PCG64(seed))


class _Digest(ISeedSequence):
    """Seed that is the digest of a text. numpy's SeedSequence would mix it once more, at five times the cost."""

    def __init__(self, text: str) -> None:
        self._digest = hashlib.blake2b(text.encode(), digest_size=32).digest()

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """Return the first n_words words of the digest, as this type."""
        return np.frombuffer(self._digest, dtype, n_words)
