"""Loading of given weights into a network: every value as the file has it, or an error that names the tensor."""

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faultbench.campaign.given_weights import MAX_BYTES, file_bytes
from faultbench.networks.weights.file_tensors import FileTensor, UnreadableError
from faultbench.networks.weights.weight_files import checkpoint_of, list_names, state_dict_of
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.regular_files import UnsoundFileError
from faultbench.system.printable import printable

MOST_TIMES = 10
"""Multiple of the network's own bytes that a file of weights may have: optimisers keep a few copies of them."""

SLACK_BYTES = 2**24

_UNUSED = "num_batches_tracked"
"""Name of the counter of batch norms, which inference does not read and old checkpoints lack."""

_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_INTEGERS = {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8}

Keys = tuple[tuple[str, str], ...]
"""Pairs of a prefix of names in the file and the prefix that the network has instead."""


def load_weights(
    model: nn.Module,
    path: Path,
    keys: Keys = (),
    *,
    drop: Sequence[str] = (),
    state_dict: str | None = None,
    digest: str | None = None,
) -> None:
    """Fill a network from a safetensors file or a torch checkpoint of a state dict, in place.

    Names that match a shell pattern of drop are left out. A checkpoint may hold the state dict under "state_dict", or
    under the key state_dict, and all names may have the prefix "module."; if keys are given, only they change names.
    FaultbenchError when the file cannot be read, has another SHA-256 than digest, or does not hold exactly this
    network's tensors, with values that the network's own can take unchanged. The file is read once.
    """
    wanted = _wanted(model, path)
    most = _check_size(path, sum(tensor.nbytes for tensor in wanted.values()))
    given = read_weights(path, keys, drop=drop, state_dict=state_dict, digest=digest, most=most)
    chosen = _fitting(path, {name: value for name, value in given.items() if not name.endswith(_UNUSED)}, wanted)
    values = {name: _values(path, name, tensor, wanted[name]) for name, tensor in chosen.items()}
    model.load_state_dict(values, strict=False)
    _check_loaded(path, model, values)


def read_weights(
    path: Path,
    keys: Keys = (),
    *,
    drop: Sequence[str] = (),
    state_dict: str | None = None,
    digest: str | None = None,
    most: int = MAX_BYTES,
) -> Mapping[str, FileTensor]:
    """Return the tensors of a weights file by the network's names; values are not read yet.

    FaultbenchError when the file cannot be read, or holds anything else.
    """
    given = _without(path, _read_state_dict(path, most, digest, state_dict), drop)
    _require_tensors(path, given)
    if keys:
        return {name: given[former] for former, name in _renamed(path, list(given), keys).items()}
    return _unprefixed(given)


def _read_state_dict(path: Path, most: int, digest: str | None, state_dict: str | None) -> Mapping[str, Any]:
    """Return the state dict in a file of this digest; FaultbenchError if it has another, or cannot be read."""
    try:
        data = file_bytes(path, most)
        if digest is not None and (now := hashlib.sha256(data).hexdigest()) != digest:
            raise FaultbenchError(
                f"{path}: changed since the campaign was read: SHA-256 {digest[:16]}… then, {now[:16]}… now; "
                "bring the file back, or start again"
            )
        return state_dict_of(checkpoint_of(data), state_dict)
    except (OSError, UnsoundFileError, UnreadableError) as error:
        raise _no_weights(path, error) from error


def _no_weights(path: Path, error: Exception) -> FaultbenchError:
    reason = getattr(error, "strerror", None) or str(error)
    return FaultbenchError(f"{path}: cannot be read as weights: {reason}; give safetensors or a state dict")


def _require_tensors(path: Path, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if not isinstance(value, FileTensor):
            raise FaultbenchError(
                f"{path}: it holds no state dict: {_shown(name)} is no tensor; leave it out with drop, or give "
                "safetensors or a state dict"
            )


def _wanted(model: nn.Module, path: Path) -> Mapping[str, Tensor]:
    """Return the network's own tensors that a file must have, by name."""
    tensors = {name: value for name, value in model.state_dict().items() if not name.endswith(_UNUSED)}
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or nn.parameter.is_lazy(value):
            raise FaultbenchError(
                f"{path}: the network's {name} is no tensor that weights could fill: {type(value).__name__}; "
                "give a network whose state dict holds tensors alone"
            )
    return tensors


def _without(path: Path, given: Mapping[str, Any], drop: Sequence[str]) -> Mapping[str, Any]:
    dropped: set[str] = set()
    for pattern in drop:
        fitting = [name for name in given if fnmatch.fnmatchcase(name, pattern)]
        if not fitting:
            near = any(name.startswith(pattern) for name in given)
            advice = f"; for names that begin so, write {pattern + '*'!r}" if near else ""
            raise FaultbenchError(f"{path}: drop: {pattern!r} fits no name; the file has {list_names(given)}{advice}")
        dropped.update(fitting)
    return {name: value for name, value in given.items() if name not in dropped}


def _renamed(path: Path, names: Sequence[str], keys: Keys) -> Mapping[str, str]:
    """Return the former name of each new name: the longest prefix in keys is replaced, once per name."""
    prefixes = dict(sorted(keys, key=lambda pair: -len(pair[0])))
    prefix_of = {name: next((prefix for prefix in prefixes if name.startswith(prefix)), None) for name in names}
    for prefix in prefixes:
        if prefix not in prefix_of.values():
            raise FaultbenchError(
                f"{path}: keys: no name left begins with {prefix!r}; the file has {list_names(dict.fromkeys(names))}"
            )
    changed = {name: name if p is None else prefixes[p] + name.removeprefix(p) for name, p in prefix_of.items()}
    former: dict[str, str] = {}
    for name, new in changed.items():
        if former.setdefault(new, name) != name:
            both = f"{_shown(former[new])} and {_shown(name)}"
            raise FaultbenchError(f"{path}: keys: {both} would both become {_shown(new)}; tell them apart")
    return changed


def _check_size(path: Path, wanted_bytes: int) -> int:
    """Refuse a file that is too large for this network before it is read, and return the bytes that it may have."""
    most = MOST_TIMES * wanted_bytes + SLACK_BYTES
    with suppress(OSError):  # reading it tells why
        if (n_bytes := path.stat().st_size) > most:
            raise FaultbenchError(
                f"{path}: not the weights of this network: {n_bytes:,} bytes, where the network has {wanted_bytes:,}"
            )
    return most


def _unprefixed(given: Mapping[str, FileTensor]) -> Mapping[str, FileTensor]:
    """Return the tensors under names without the prefix "module." of data-parallel networks."""
    prefixed = all(name.startswith("module.") for name in given)
    return {name.removeprefix("module.") if prefixed else name: value for name, value in given.items()}


def _fitting(path: Path, given: Mapping[str, FileTensor], wanted: Mapping[str, Tensor]) -> Mapping[str, FileTensor]:
    """Return the file's tensors by the network's names; FaultbenchError unless it has them all, and nothing else.

    If several names are one tensor in the network, one of them is enough.
    """
    first: dict[tuple[Any, ...], str] = {}
    for name in sorted(wanted.keys() & given.keys()):
        first.setdefault(_memory_of(wanted[name]), name)
    missing = sorted(name for name in wanted.keys() - given.keys() if _memory_of(wanted[name]) not in first)
    unexpected = sorted(given.keys() - wanted.keys())
    if missing or unexpected:
        raise _other_names(path, missing, unexpected)
    for name, tensor in given.items():
        _check_kind(path, name, tensor, wanted[name])
    return {name: given[name] for name in wanted if name in given}


def _other_names(path: Path, missing: Sequence[str], unexpected: Sequence[str]) -> FaultbenchError:
    advice = "; leave names out with drop, or change them with keys" if unexpected else ""
    return FaultbenchError(
        f"{path}: not the weights of this network: {list_names(dict.fromkeys(missing))} missing, "
        f"{list_names(dict.fromkeys(unexpected))} unexpected{advice}"
    )


def _memory_of(tensor: Tensor) -> tuple[Any, ...]:
    """Return a key that is equal for names of one tensor, and for no others."""
    if not tensor.numel():
        return (id(tensor),)
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def _check_kind(path: Path, name: str, given: FileTensor, wanted: Tensor) -> None:
    where = f"{path}: {_shown(name)}"
    if given.oddity:
        raise FaultbenchError(f"{where} is a {given.oddity} tensor; give plain, dense ones of floating point")
    kinds = next((kinds for kinds in (_FLOATS, _INTEGERS) if wanted.dtype in kinds), {wanted.dtype})
    if given.dtype not in kinds:
        advice = (
            "give values of floating point, as inference reads them" if kinds is _FLOATS else "give it of that kind"
        )
        raise FaultbenchError(f"{where} is {_kind(given.dtype)}, the network's is {_kind(wanted.dtype)}; {advice}")
    if given.shape != tuple(wanted.shape):
        raise FaultbenchError(f"{where} is {_sizes(given.shape)}, the network's is {_sizes(wanted.shape)}")


def _values(path: Path, name: str, given: FileTensor, own: Tensor) -> Tensor:
    """Return the values for the network; FaultbenchError if a value would change, or is not finite."""
    where = f"{path}: {_shown(name)}"
    try:
        stored = given.values()
    except UnreadableError as error:
        raise _no_weights(path, error) from error
    _check_meaningful(where, name, stored, own)
    values = stored.to(own.dtype)
    if torch.promote_types(stored.dtype, own.dtype) != own.dtype and (
        n := int((values.to(stored.dtype) != stored).sum())
    ):
        raise FaultbenchError(
            f"{where} is {_kind(stored.dtype)}, and {n:,} of its {stored.numel():,} values lose digits as "
            f"{_kind(own.dtype)}; save it as {_kind(own.dtype)} first"
        )
    return values


def _check_meaningful(where: str, name: str, stored: Tensor, own: Tensor) -> None:
    """Raise FaultbenchError for values that are not finite, unless the network's own are so, and variances below 0."""
    if not _is_finite(stored):
        # A mask of −inf that the network itself begins with is meant.
        odd = ~torch.isfinite(stored) & (stored != own.detach().cpu())
        if n_odd := int(odd.sum()):
            raise FaultbenchError(
                f"{where} has {n_odd:,} of {odd.numel():,} values that are NaN or infinite; give finite ones"
            )
    if name.endswith("running_var") and bool((stored < 0).any()):
        raise FaultbenchError(f"{where} holds variances below 0; give the weights of a trained network")


def _is_finite(values: Tensor) -> bool:
    if not values.numel() or not values.is_floating_point():
        return True
    # One pass without a mask as large as the values; both ends are NaN where any value is.
    return all(bool(torch.isfinite(end)) for end in torch.aminmax(values))


def _check_loaded(path: Path, model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Raise FaultbenchError unless the network holds what it was given.

    It may not if two names are one tensor, or if the network has its own method to load.
    """
    after = model.state_dict()
    for name, value in values.items():
        if not torch.equal(_bits(after[name]), _bits(value)):
            raise FaultbenchError(
                f"{path}: {_shown(name)} is not in the network as the file has it: it is one tensor with another name, "
                "of which the file has other values, or the network changes what it loads"
            )


def _bits(tensor: Tensor) -> Tensor:
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.detach().cpu().reshape(-1).view(whole[tensor.dtype.itemsize])


def _kind(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")


def _sizes(shape: Sequence[int]) -> str:
    return str(tuple(shape[:8])) if len(shape) <= 8 else f"of {len(shape)} dimensions"


def _shown(name: str) -> str:
    return printable(name)[:80]
