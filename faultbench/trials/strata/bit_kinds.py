"""Kinds of bits in a memory: layer and kind of parameter, bit of the word, and whether the bit holds 0 or 1."""

import numpy as np
from numpy.typing import NDArray

from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.network import Network
from faultbench.results.flip_counts import WHOLE_MEMORY

KEYS_PER_OWNER = 64
"""Number of kinds per owner: 32 bits, each holding 0 or 1."""


class BitKinds:
    """Words of a network's fault space, with the owner of each: a layer and a kind of parameter.

    A kind of bit has a key: owner·64 + bit·2 + the value that the bit holds. The words are copied when this object is
    made; no flip may be in memory then.
    """

    def __init__(self, network: Network, space: FaultSpace) -> None:
        owner_of = {parameter.name: (parameter.owner, parameter.kind) for parameter in network.parameters()}
        owners = [owner_of[item.name] for item in space.stored]
        self.space = space
        self.owners = (*dict.fromkeys(owners), WHOLE_MEMORY)
        self.tensor_owners = np.array([self.owners.index(owner) for owner in owners], dtype=np.int64)
        """Index into owners for each stored tensor."""
        # Row-major whatever the layout in memory, as addresses count.
        words = [item.codec.encode(item.tensor.detach().cpu()).contiguous().view(-1).numpy() for item in space.stored]
        self._first_word = np.cumsum([0, *map(len, words)])
        self._words = np.concatenate(words)

    @property
    def n_keys(self) -> int:
        """Return the number of keys, which are 0 to n_keys - 1."""
        return len(self.owners) * KEYS_PER_OWNER

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return how many of the bits that faults can hit are of each kind, by key. `WHOLE_MEMORY` has none."""
        counts = np.zeros(self.n_keys, dtype=np.int64)
        for index, item in enumerate(self.space.stored):
            words = self._words[self._first_word[index] : self._first_word[index + 1]]
            for bit in item.bits_hit:
                n_set = int(np.count_nonzero(words & np.int32(np.uint32(1 << bit).view(np.int32))))
                key = self.tensor_owners[index] * KEYS_PER_OWNER + 2 * bit
                counts[key : key + 2] += (len(words) - n_set, n_set)
        return counts

    def keys(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the key of the bit at each address, followed by the same keys with `WHOLE_MEMORY` as the owner."""
        own = self.own_keys(addresses)
        return np.concatenate([own, own % KEYS_PER_OWNER + (len(self.owners) - 1) * KEYS_PER_OWNER])

    def own_keys(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the key of the bit at each address."""
        tensor, word, bit = self.space.locate(addresses)
        held = (self._words[self._first_word[tensor] + word] >> bit) & 1
        return np.asarray(self.tensor_owners[tensor] * KEYS_PER_OWNER + bit * 2 + held, dtype=np.int64)
