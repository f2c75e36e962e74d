"""Bit flips in the parameters of any torch model, for the duration of a with-block."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.codec import Codec
from faultbench.memory.injection import apply_patches, make_patches
from faultbench.networks.stored.hidden_weights import hidden_weights, kind_outside, outside_parameters, unfit_parameter
from faultbench.networks.stored.reparametrised_weights import computed_weights
from faultbench.plugins import registry
from faultbench.system import arguments
from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import shortened

N_NAMED = 3
"""Number of tensors or modules that a message names, at most."""

LONGEST_NAME = 200
"""Characters of such a name, at most."""


@dataclass(frozen=True, eq=False)
class Injection(FaultMap):
    """Flips in a model's parameters, and the bits of the model outside the fault space."""

    n_bits: int = 0
    """Bits of all parameters, which faults can hit."""
    outside: Mapping[str, int] = field(default_factory=dict)
    """Bits of tensors that are not parameters, by kind such as norm_statistics; no fault hits them."""


@contextmanager
def inject(
    model: nn.Module,
    *,
    ber: float,
    format: str = "float32",  # noqa: A002 - the campaign file's word
    seed: int = 0,
    trial: int = 0,
) -> Iterator[Injection]:
    """Flip every bit of the model's parameters with probability ber inside the block, and restore them after it.

    Yields the flips, whose `len` is their number; their `outside` has the bits of buffers, which no fault hits. format
    is how memory holds a value: a value that is hit is encoded, its bits are inverted, and the value of the new word
    is written in place; other values keep all their digits. Flips are undone bit for bit however the block ends. The
    flips of a parameter depend on its name and size, ber, seed and trial alone. ber is 0 to 0.5. FaultbenchError for a
    model that has no parameters or keeps weights elsewhere, for parameters that are not float32 in one piece, for
    weights that are computed before each use, and after the block for parameters that were overwritten in it.
    """
    ber = arguments.number("inject: ber, a bit error rate,", ber, lowest=0, highest=0.5)
    if not isinstance(model, nn.Module):
        arguments.refuse("inject: model", model, "a torch.nn.Module")
    arguments.text("inject: format", format, "a name such as 'float32'")
    seed = arguments.whole_number("inject: seed", seed, lowest=-(2**63))
    trial = arguments.whole_number("inject: trial", trial, lowest=0)
    codec = registry.build("number_format", format, {})
    space = _space(model, codec)
    fault_map = Bernoulli().draw(space, ber=ber, seed=seed, trial=trial)
    injection = Injection(fault_map.addresses, n_bits=space.n_bits, outside=_outside(model, codec))
    (of_map,) = make_patches(space, [fault_map])
    with apply_patches(of_map.values()):
        yield injection
        lost = [space.stored[index].name for index, patch in of_map.items() if not patch.is_there()]
    if lost:
        raise FaultbenchError(
            f"inject: faults were lost, since something overwrote parameters inside the block: {_some(lost)}; the "
            "model must run with the parameters that it has"
        )


def _space(model: nn.Module, codec: Codec) -> FaultSpace:
    """Return the model's parameters as a fault space; FaultbenchError unless these are all of its weights."""
    _require_own_weights(model)
    named = dict(model.named_parameters())
    reasons = [reason for name, parameter in named.items() if (reason := unfit_parameter(name, parameter))]
    if reasons:
        raise FaultbenchError(f"inject: {reasons[0]}")
    try:
        space = FaultSpace([StoredTensor(name, parameter, codec) for name, parameter in named.items()])
    except ValueError as error:
        raise FaultbenchError(f"inject: {error}") from error
    if not space.n_bits:
        raise FaultbenchError(
            f"inject: {type(model).__name__} has no parameters, so there is nothing to hit; quantised and frozen "
            "models keep their weights elsewhere: give the float model"
        )
    return space


def _require_own_weights(model: nn.Module) -> None:
    """Raise FaultbenchError if weights of a model are computed before each use, or are no parameters."""
    if computed := computed_weights(model):
        raise FaultbenchError(
            f"inject: weights that are computed before each use: {_some(list(computed))}; memory holds the result: "
            "put it in place first (prune.remove, remove_weight_norm, parametrize.remove_parametrizations, …)"
        )
    if hidden := hidden_weights(model):
        raise FaultbenchError(
            f"inject: weights in {_some(hidden)} are no parameters, but packed, quantised, frozen or plain tensors, "
            "where no fault is put; make them nn.Parameters, or give the float model that it was made from"
        )


def _outside(model: nn.Module, codec: Codec) -> dict[str, int]:
    """Return the bits of tensors that are not parameters, by kind; a warning names those that may be weights."""
    bits_of: dict[str, int] = {}
    beside = outside_parameters(model)
    for name, tensor in beside.items():
        kind = kind_outside(name, tensor)
        n_bits = 8 * tensor.nbytes if kind == "integers" else tensor.numel() * codec.bits
        bits_of[kind] = bits_of.get(kind, 0) + n_bits
    if weighty := [name for name, tensor in beside.items() if tensor.dim() > 1]:
        warnings.warn(f"inject: no fault hits {_some(weighty)}: no parameters, but tensors beside them", stacklevel=4)
    return bits_of


def _some(names: list[str]) -> str:
    more = len(names) - N_NAMED
    return ", ".join(shortened(name, LONGEST_NAME) for name in names[:N_NAMED]) + (
        f" and {more} more" if more > 0 else ""
    )
