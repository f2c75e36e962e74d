"""Reader of safetensors files: from bytes in memory to descriptions of tensors."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from faultbench.networks.weights.file_tensors import (
    FileTensor,
    Storage,
    UnreadableError,
    contiguous_strides,
    require_counts,
)
from faultbench.system.printable import printable

MOST_BYTES = 2**22
"""Bytes of a header, at most: names, types and shapes of some thirty thousand tensors."""

_COUNT_BYTES = 8

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


def is_safetensors(data: bytes) -> bool:
    """Return whether the bytes begin as such a file: the length of a header, and a brace."""
    return data[_COUNT_BYTES : _COUNT_BYTES + 1] == b"{"


def read_safetensors(data: bytes) -> Mapping[str, FileTensor]:
    """Return the description of each tensor by name, in the order of the file.

    UnreadableError unless their bytes fill what follows the header, without gaps and one after another.
    """
    n_header = int.from_bytes(data[:_COUNT_BYTES], "little")
    if n_header > MOST_BYTES:
        raise UnreadableError(f"its header claims {n_header:,} bytes, more than any state dict's")
    header, values = data[_COUNT_BYTES : _COUNT_BYTES + n_header], memoryview(data)[_COUNT_BYTES + n_header :]
    if len(header) < n_header:
        raise UnreadableError("it ends within its header")
    entries = _entries(header)
    tensors, at = {}, 0
    for name, entry in sorted(entries.items(), key=lambda named: _offsets(*named)):
        start, stop = _offsets(name, entry)
        if start != at:
            raise UnreadableError(f"the bytes of {_shown(name)} do not follow those before it")
        tensors[name] = _described(name, entry, values, start, stop)
        at = stop
    if at != len(values):
        raise UnreadableError(f"its tensors take {at:,} bytes, and {len(values):,} follow the header")
    return {name: tensors[name] for name in entries}


def _entries(header: bytes) -> dict[str, dict[str, Any]]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(entries := dict(pairs)) < len(pairs):
            raise UnreadableError("its header gives two entries of one name")
        return entries

    try:
        entries = json.loads(header, object_pairs_hook=distinct)
    except UnreadableError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableError("its header is damaged") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise UnreadableError("its header is damaged")
    entries.pop("__metadata__", None)
    return entries


def _offsets(name: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    match entry.get("data_offsets"):
        case [int() as start, int() as stop] if 0 <= start <= stop:
            return start, stop
    raise UnreadableError(f"its header gives no place of {_shown(name)}")


def _described(name: str, entry: Mapping[str, Any], values: memoryview, start: int, stop: int) -> FileTensor:
    dtype, shape = _DTYPES.get(str(entry.get("dtype"))), entry.get("shape")
    if not isinstance(shape, list):
        raise UnreadableError(f"its header gives no shape of {_shown(name)}")
    require_counts(shape)
    if dtype is None:
        return FileTensor(None, (), oddity=printable(str(entry.get("dtype")))[:20])
    storage = Storage(name, dtype, stop - start, {name: values[start:stop]}, "little")
    tensor = FileTensor(dtype, tuple(shape), contiguous_strides(shape), 0, storage)
    if tensor.n_bytes != stop - start:
        raise UnreadableError(
            f"its header gives {_shown(name)} a shape of {tensor.n_bytes:,} bytes and room of {stop - start:,}"
        )
    return tensor


def _shown(name: str) -> str:
    return printable(name)[:60]
