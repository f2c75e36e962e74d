"""Account of a network's memory: its bits by kind, and which of them no fault can hit."""

from collections.abc import Mapping
from dataclasses import dataclass

from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import KINDS
from faultbench.memory.formats.codec import Codec
from faultbench.networks.stored.stored_tensors import INTEGERS, StoredParameter


@dataclass(frozen=True)
class MemoryAccount:
    """Bits of a memory by kind: those that faults can hit, and those outside the targets.

    computed names the weights that the user's network computes before each use; memory holds them as they are used.
    """

    hit: Mapping[str, int]
    outside: Mapping[str, int]
    computed: tuple[str, ...] = ()


def account_memory(
    parameters: list[StoredParameter], codec: Codec, space: FaultSpace, computed: tuple[str, ...] = ()
) -> MemoryAccount:
    """Return the account of a memory; space is the part that faults can hit, in words of the codec.

    Integers count with the bits that they have in the program. Tied tensors count once.
    """
    hit_bits = {item.name: item.n_target_bits for item in space.stored}
    hit, outside = dict[str, int](), dict[str, int]()
    met: set[tuple[int, int]] = set()
    for item in parameters:
        place = item.tensor.data_ptr(), item.tensor.numel()
        if place in met:
            continue
        met.add(place)
        n_hit = hit_bits.get(item.name, 0)
        n_outside = _bits(item, codec) - n_hit
        if n_hit:
            hit[item.kind] = hit.get(item.kind, 0) + n_hit
        if n_outside:
            outside[item.kind] = outside.get(item.kind, 0) + n_outside
    return MemoryAccount(_ordered(hit), _ordered(outside), computed)


def _ordered(n_bits: Mapping[str, int]) -> dict[str, int]:
    return {kind: n_bits[kind] for kind in (*KINDS, INTEGERS) if kind in n_bits}


def _bits(item: StoredParameter, codec: Codec) -> int:
    if item.kind == INTEGERS:
        return 8 * item.tensor.nbytes
    return item.tensor.numel() * codec.bits * (2 if item.tensor.is_complex() else 1)
