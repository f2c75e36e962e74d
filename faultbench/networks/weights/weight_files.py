"""Reading given weights into a network, without ever unpickling anything but tensors."""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from faultbench.system.errors import FaultbenchError

MOST_TIMES = 10
"""Times the network's own bytes that a file of weights may have: optimisers keep a few copies of them."""

SLACK_BYTES = 2**24

_UNUSED = "num_batches_tracked"
"""A counter of batch norms that inference does not read; old checkpoints have none."""


Keys = tuple[tuple[str, str], ...]
"""Prefix of names in a file → what the network has in its place."""


def load_weights(model: nn.Module, path: Path, keys: Keys = ()) -> None:
    """Fill a network from a safetensors file or a torch checkpoint of a state dict, in place.

    A checkpoint may hold the state dict under "state_dict", its names all prefixed by "module."; with keys given,
    they alone say how names change. FaultbenchError when the file cannot be read or does not hold exactly this
    network's tensors.
    """
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(_UNUSED)}
    _check_size(path, sum(tensor.nbytes for tensor in wanted.values()))
    given = read_weights(path, keys)
    _check_fit(path, {name: tensor for name, tensor in given.items() if not name.endswith(_UNUSED)}, wanted)
    model.load_state_dict({name: given[name] for name in wanted}, strict=False)


def read_weights(path: Path, keys: Keys = ()) -> Mapping[str, Tensor]:
    """Name, as the network has it, → tensor of a weights file; FaultbenchError when it cannot be read."""
    is_safe = path.suffix == ".safetensors"
    given = _read(path, is_safe=is_safe)
    if keys:
        return {name: given[former] for former, name in _renamed(path, list(given), keys).items()}
    return given if is_safe else _unprefixed(given)


def _renamed(path: Path, names: Sequence[str], keys: Keys) -> Mapping[str, str]:
    """Name in the file → name in the network: of each name the longest prefix that keys has is replaced, once."""
    prefixes = dict(sorted(keys, key=lambda pair: -len(pair[0])))
    found = {name: next((prefix for prefix in prefixes if name.startswith(prefix)), None) for name in names}
    for prefix in prefixes:
        if prefix not in found.values():
            raise FaultbenchError(f"{path}: keys: no name left begins with {prefix!r}; the file has {_some([*names])}")
    changed = {name: name if p is None else prefixes[p] + name.removeprefix(p) for name, p in found.items()}
    former: dict[str, str] = {}
    for name, new in changed.items():
        if former.setdefault(new, name) != name:
            raise FaultbenchError(f"{path}: keys: {former[new]} and {name} would both become {new}; tell them apart")
    return changed


def _read(path: Path, *, is_safe: bool) -> Mapping[str, Tensor]:
    try:
        if is_safe:
            return load_file(path)
        _check_zip(path)
        return _state_dict(torch.load(path, map_location="cpu", weights_only=True))
    # On damaged bytes torch's unpickler raises whatever it stumbles over: IndexError, struct.error, AssertionError, …
    except Exception as error:
        raise FaultbenchError(
            f"{path}: cannot be read as weights: {_reason(error)}; give safetensors or a state dict"
        ) from error


def _check_size(path: Path, wanted_bytes: int) -> None:
    """Refuse a file that is too large to be this network's before a byte of it is read."""
    try:
        size_bytes = path.stat().st_size
    except OSError:
        return  # reading it tells why
    if size_bytes > MOST_TIMES * wanted_bytes + SLACK_BYTES:
        raise FaultbenchError(
            f"{path}: not the weights of this network: {size_bytes:,} bytes, where the network has {wanted_bytes:,}"
        )


def _check_zip(path: Path) -> None:
    """ValueError for an archive that would unfold to more than the file has; torch itself stores and never packs."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("its parts are compressed, which torch never does")
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("its parts are larger than the file")


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):  # torch's own text advises to trust the file
        return "it is damaged or holds other things than tensors"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _state_dict(checkpoint: object) -> Mapping[str, Tensor]:
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict):
        checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in checkpoint.items()
    ):
        raise ValueError("it holds no state dict")
    return checkpoint


def _unprefixed(given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Names without the "module." that all of a data-parallel network's have."""
    prefixed = all(name.startswith("module.") for name in given)
    return {name.removeprefix("module.") if prefixed else name: tensor for name, tensor in given.items()}


def _check_fit(path: Path, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing, unexpected = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or unexpected:
        raise FaultbenchError(
            f"{path}: not the weights of this network: {_some(missing)} missing, {_some(unexpected)} unexpected"
        )
    for name, tensor in wanted.items():
        if given[name].shape != tensor.shape:
            raise FaultbenchError(
                f"{path}: {name} is {tuple(given[name].shape)}, the network's is {tuple(tensor.shape)}"
            )


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
