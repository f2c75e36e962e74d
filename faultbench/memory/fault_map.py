"""The flips of one trial."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FaultMap:
    """Bits of a fault space that are inverted; addresses is int64 [n_flips], strictly increasing, read-only.

    The addresses are copied. ValueError unless they are one-dimensional and strictly increasing,
    TypeError unless they are integers.
    """

    addresses: NDArray[np.int64]

    def __post_init__(self) -> None:
        addresses = np.asarray(self.addresses).astype(np.int64, casting="same_kind")
        if addresses.ndim != 1 or not (addresses[1:] > addresses[:-1]).all():
            raise ValueError("a fault map's addresses must be one-dimensional and strictly increasing")
        addresses.flags.writeable = False
        object.__setattr__(self, "addresses", addresses)

    def __len__(self) -> int:
        """Return the number of flips."""
        return len(self.addresses)

    @property
    def digest(self) -> str:
        """16 hex digits that are equal for two maps only if their flips are the same."""
        return blake2b(self.addresses.astype("<i8").tobytes(), digest_size=8).hexdigest()
