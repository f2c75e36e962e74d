"""Shards: division of a campaign's work among several runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

MOST_SHARDS = 10**6
"""Most parts that a campaign's work can be divided into."""

N_HASHED = 2**14
"""Number of a cell's first trials that are each assigned to a shard by a hash."""


@dataclass(frozen=True)
class Shard:
    """Part of a campaign's work: part number of count parts; numbers start at 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count <= MOST_SHARDS:
            raise ValueError(f"a shard is 1/n to n/n, n at most {MOST_SHARDS:,}, not {self.number}/{self.count}")

    def owns(self, *key: object) -> bool:
        """Return whether the shard does the work of this key; exactly one shard does, on every machine."""
        return self.count == 1 or _hash(*key) % self.count == self.number - 1

    def trials(self, cell: str, start: int, stop: int) -> Iterator[int]:
        """Yield the numbers of a cell's trials from start on, below stop, that the shard runs, in order.

        The first `N_HASHED` are assigned by a hash each, those after them in turn, so that a billion need no hashes.
        """
        if self.count == 1:
            yield from range(start, stop)
            return
        yield from (number for number in range(start, min(stop, N_HASHED)) if self.owns(cell, number))
        yield from self._in_turn(cell, start, stop)

    def n_trials(self, cell: str, start: int, stop: int) -> int:
        """Return how many numbers `trials` yields, in a time that does not grow with them."""
        if self.count == 1:
            return max(0, stop - start)
        n_hashed = sum(self.owns(cell, number) for number in range(start, min(stop, N_HASHED)))
        return n_hashed + len(self._in_turn(cell, start, stop))

    def owns_trial(self, cell: str, number: int) -> bool:
        """Return whether `trials` yields this number."""
        if self.count == 1 or number < N_HASHED:
            return self.owns(cell, number)
        return number in self._in_turn(cell, number, number + 1)

    def _in_turn(self, cell: str, start: int, stop: int) -> range:
        first = max(start, N_HASHED)
        turn = self.number - 1 - _hash(cell)
        return range(first + (turn - first) % self.count, stop, self.count)

    @property
    def suffix(self) -> str:
        """Suffix of the shard's files; empty when there is one part."""
        return f".shard-{self.number}-of-{self.count}" if self.count > 1 else ""


def _hash(*key: object) -> int:
    text = "\x1f".join(map(str, key))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
