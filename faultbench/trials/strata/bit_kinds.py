"""What kinds of bits a memory holds: of which layer and kind of parameter, which bit of the word, holding 0 or 1."""

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.network import Network
from faultbench.results.flip_counts import WHOLE

KEYS = 64
"""Of each owner: 32 bits, each with a 0 or a 1 before."""


class Memory:
    """The words that a network's fault space holds, and to which layer and kind of parameter each belongs.

    They are those at the time it is made: no flip may be in memory then.
    """

    def __init__(self, network: Network, space: FaultSpace) -> None:
        named = {parameter.name: (parameter.owner, parameter.kind) for parameter in network.parameters()}
        of_tensors = [named[item.name] for item in space.stored]
        self.space = space
        self.owners = (*dict.fromkeys(of_tensors), WHOLE)
        self.owner = np.array([self.owners.index(owner) for owner in of_tensors], dtype=np.int64)
        """Of each stored tensor, an index into owners."""
        # Row-major whatever the layout in memory, as addresses count.
        words = [item.codec.encode(item.tensor.detach().cpu()).contiguous().view(-1).numpy() for item in space.stored]
        self._first_word = np.cumsum([0, *map(len, words)])
        self._words = np.concatenate(words)

    @property
    def n_keys(self) -> int:
        """Keys are 0 to n_keys - 1."""
        return len(self.owners) * KEYS

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of the bits that faults can hit are of each kind, by its key; none are `WHOLE`'s."""
        counts = np.zeros(self.n_keys, dtype=np.int64)
        for index, item in enumerate(self.space.stored):
            words = self._words[self._first_word[index] : self._first_word[index + 1]]
            for bit in item.bits_hit:
                n_set = int(np.count_nonzero(words & np.int32(np.uint32(1 << bit).view(np.int32))))
                key = self.owner[index] * KEYS + 2 * bit
                counts[key : key + 2] += (len(words) - n_set, n_set)
        return counts

    def keys(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """owner·64 + bit·2 + what the bit holds, of every address; then the same with `WHOLE` as the owner."""
        own = self.own_keys(addresses)
        return np.concatenate([own, own % KEYS + (len(self.owners) - 1) * KEYS])

    def own_keys(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """owner·64 + bit·2 + what the bit holds, of every address."""
        tensor, word, bit = self.space.locate(addresses)
        held = (self._words[self._first_word[tensor] + word] >> bit) & 1
        return np.asarray(self.owner[tensor] * KEYS + bit * 2 + held, dtype=np.int64)
