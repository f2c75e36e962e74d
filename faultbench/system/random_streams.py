"""Random streams named by what they are for, so that no draw depends on what was drawn before it."""

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


def seed_of(*parts: Any) -> int:
    """A 128-bit seed from the parts' text; different parts give independent streams."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(name: str) -> np.random.Generator:
    """The numpy stream of this name; a name made of several parts keeps them apart itself."""
    seed: Any = _Digest(name)  # numpy takes any ISeedSequence; its type stubs do not
    return np.random.Generator(np.random.PCG64(seed))


class _Digest(ISeedSequence):
    """A text's digest as the seed it is: numpy's SeedSequence would mix it once more, at five times the cost."""

    def __init__(self, text: str) -> None:
        self._digest = hashlib.blake2b(text.encode(), digest_size=32).digest()

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """The digest's first words of this type."""
        return np.frombuffer(self._digest, dtype, n_words)
