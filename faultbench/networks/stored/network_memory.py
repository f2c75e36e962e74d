"""The memory of a network: stored in a number format, and what of it faults can hit."""

import fnmatch
from collections.abc import Collection, Iterable

import torch
from torch import nn

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.codec import Codec, quantised
from faultbench.networks.network import Network
from faultbench.plugins.registry import suggest
from faultbench.system.errors import FaultbenchError


def fault_space(
    network: Network,
    codec: Codec,
    targets: Collection[str],
    *,
    owners: Collection[str] | None = None,
    bits: tuple[int, int] | None = None,
) -> FaultSpace:
    """Return the memory of a network that faults can hit, in order of execution: the kinds that `targets` names.

    owners, if given, limits it to the memory of these layers and sites. bits limits it to these bits of a word, first
    and last included.
    """
    return FaultSpace(
        [
            StoredTensor(parameter.name, parameter.tensor, codec, bits)
            for parameter in network.parameters()
            if parameter.kind in targets and (owners is None or parameter.owner in owners)
        ]
    )


def store_parameters(network: Network, codec: Codec, *, kinds: Collection[str] = ()) -> None:
    """Replace every parameter by the value that memory gives back, in place; bounds and norms too.

    Buffers, such as the running statistics of norms, stay as they are, unless they act as weights or are of one of
    these kinds because faults hit them.
    """
    with torch.no_grad():
        for parameter in network.graph.parameters():
            if parameter.dtype == torch.float32:
                parameter.copy_(quantised(codec, parameter))
        for item in network.parameters():
            is_buffer = not isinstance(item.tensor, nn.Parameter) and item.tensor.dtype == torch.float32
            if is_buffer and item.kind in ("weights", "biases", *kinds):
                item.tensor.copy_(quantised(codec, item.tensor))


def match_names(network: Network, patterns: Iterable[str]) -> set[str]:
    """Return the names of layers and sites that shell patterns match; FaultbenchError if a pattern matches none."""
    names = list(dict.fromkeys(parameter.owner for parameter in network.parameters()))
    names += [site.name for site in network.sites if site.name not in names]
    matches_of = {pattern: fnmatch.filter(names, pattern) for pattern in patterns}
    for pattern, matches in matches_of.items():
        if not matches:
            raise FaultbenchError(f"layers: {suggest(pattern, dict.fromkeys(names))} matches no layer or site")
    return {name for matches in matches_of.values() for name in matches}
