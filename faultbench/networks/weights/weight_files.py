"""Reader of a file of weights: its first bytes, not its name, tell the kind of file."""

from collections.abc import Mapping
from typing import Any

from faultbench.networks.weights.file_tensors import FileTensor, UnreadableError
from faultbench.networks.weights.safetensors_files import is_safetensors, read_safetensors
from faultbench.networks.weights.torch_files import PICKLE, ZIP, read_archive, read_older
from faultbench.system.printable import printable

_OTHERS = (
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (0, b"<", "a page of the web and no file of weights: download it again"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x1f\x8b", "compressed: unpack it first"),
    (0, b"\x93NUMPY", "an array of numpy"),
    (0, b"GGUF", "a GGUF file"),
    (257, b"ustar", "a tar archive, which torch wrote long ago: save it again"),
)


def checkpoint_of(data: bytes) -> Any:
    """Return the content of a file of weights, with descriptions of tensors; UnreadableError if it is not one."""
    if not data:
        raise UnreadableError("it is empty")
    if data.startswith(ZIP):
        return read_archive(data)
    if data.startswith(PICKLE):
        return read_older(data)
    if is_safetensors(data):
        return read_safetensors(data)
    for at, start, what in _OTHERS:
        if data[at : at + len(start)] == start:
            raise UnreadableError(f"it is {what}")
    raise UnreadableError("it begins like no file of weights")


def state_dict_of(checkpoint: Any, entry: str | None) -> Mapping[str, Any]:
    """Return the state dict of a checkpoint: the named entry, or by default "state_dict" or the checkpoint itself.

    Its values are descriptions of tensors, or whatever else the file has there.
    """
    entries = checkpoint
    if entry is not None:
        if not isinstance(checkpoint, dict) or entry not in checkpoint:
            raise UnreadableError(f"it has no entry {printable(entry)[:60]!r}; it holds {list_names(checkpoint)}")
        entries = checkpoint[entry]
    elif isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict):
        entries = checkpoint["state_dict"]
    if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
        raise UnreadableError("it holds no state dict")
    if entries and not any(isinstance(value, FileTensor) for value in entries.values()):
        inner = [name for name, value in entries.items() if _is_state_dict(value)]
        advice = f"; name the state dict, as in state_dict: {_shown(inner[0])}" if inner else ""
        raise UnreadableError(f"it holds no state dict, but {list_names(entries)}{advice}")
    return entries


def list_names(values: Any) -> str:
    """Return the first names of a mapping on one line, or "none"."""
    names = (
        [_shown(str(name)) if isinstance(name, str | int) else "…" for name in values]
        if isinstance(values, dict)
        else []
    )
    if not names:
        return "none"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, FileTensor) for name, tensor in value.items())
    )


def _shown(name: str) -> str:
    return printable(name)[:60]
