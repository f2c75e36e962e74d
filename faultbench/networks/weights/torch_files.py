"""Reader of torch.save's files in both formats: from bytes in memory to descriptions of tensors."""

import io
import struct
import zipfile
import zlib
from typing import Any

from faultbench.networks.weights.file_tensors import Storage, UnreadableError
from faultbench.networks.weights.state_pickles import DAMAGED, MOST_BYTES, read_pickle, storage_of

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"

MOST_DIRECTORY_BYTES = 2**23
"""Bytes of an archive's directory, at most: some 100 per part; torch writes one part per storage."""

_END = b"PK\x05\x06"

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
"""First values of the older format, each as a pickle of its own."""

_COUNT_BYTES = 8


def read_archive(data: bytes) -> Any:
    """Return the content of a checkpoint's zip archive, with descriptions of tensors."""
    parts = _parts(data)
    pickles = [name for name in parts if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UnreadableError("it is an archive of something else than torch.save writes")
    prefix = pickles[0].removesuffix("data.pkl")
    if any(name.startswith((f"{prefix}code/", f"{prefix}constants.pkl")) for name in parts):
        raise UnreadableError("it is a TorchScript program; save the state dict of its module")
    if len(parts[pickles[0]]) > MOST_BYTES:
        raise UnreadableError(f"its pickle has {len(parts[pickles[0]]):,} bytes, more than any state dict's")
    byteorder = bytes(parts.get(f"{prefix}byteorder", b"little")).decode("ascii", "replace")
    if byteorder not in {"little", "big"}:
        raise UnreadableError(DAMAGED)
    own = f"{prefix}data/"
    storages = {name.removeprefix(own): part for name, part in parts.items() if name.startswith(own)}
    return read_pickle(io.BytesIO(parts[pickles[0]]), lambda name: storage_of(name, storages, byteorder))


def read_older(data: bytes) -> Any:
    """Return the content of a checkpoint from before torch 1.6: five pickles, then the bytes of each storage."""
    stream = io.BytesIO(data[:MOST_BYTES])
    if read_pickle(stream, _no_storage) != _MAGIC or read_pickle(stream, _no_storage) != _VERSION:
        raise UnreadableError("it is a pickle of something else than torch.save writes")
    system = read_pickle(stream, _no_storage)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnreadableError("it was written on a big-endian machine, in a format that torch has left; save it again")
    parts: dict[str, memoryview] = {}
    storages: dict[str, Storage] = {}

    def storage(name: tuple[Any, ...]) -> Storage:
        described = storage_of(name, parts, "little")
        if storages.setdefault(described.key, described) != described:
            raise UnreadableError(DAMAGED)
        return described

    checkpoint = read_pickle(stream, storage)
    keys = read_pickle(stream, _no_storage)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise UnreadableError(DAMAGED)
    rest = memoryview(data)[stream.tell() :]
    for key in keys:
        n_bytes, dtype = storages[key].n_bytes, storages[key].dtype
        count, rest = int.from_bytes(rest[:_COUNT_BYTES], "little"), rest[_COUNT_BYTES:]
        if count * (1 if dtype is None else dtype.itemsize) != n_bytes:
            raise UnreadableError(DAMAGED)
        parts[key], rest = rest[:n_bytes], rest[n_bytes:]
    return checkpoint


def _parts(data: bytes) -> dict[str, memoryview]:
    """Return the bytes of each part of an archive by name, without copies: torch never compresses parts."""
    if (n_bytes := _directory_bytes(data)) > MOST_DIRECTORY_BYTES:
        raise UnreadableError(f"it is an archive whose directory claims {n_bytes:,} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
    # What the directory of a damaged archive leads zipfile to.
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, EOFError, OverflowError) as error:
        raise UnreadableError(f"{DAMAGED}: {error}") from error
    if any(part.compress_type != zipfile.ZIP_STORED for part in listed):
        raise UnreadableError("its parts are compressed, which torch never does")
    if sum(part.file_size for part in listed) > len(data):
        raise UnreadableError("its parts are larger than the file")
    parts = {part.filename: _part(data, part) for part in listed}
    if len(parts) < len(listed):
        raise UnreadableError("it holds two parts of one name")
    return parts


def _directory_bytes(data: bytes) -> int:
    """Return the bytes of the directory that zipfile will read; 0 if it will find none."""
    tail = data[-(2**16 + 22) :]
    is_plain = tail[-22:-18] == _END and tail[-2:] == b"\0\0"
    at = len(tail) - 22 if is_plain else tail.rfind(_END)
    if at < 0:
        return 0
    large = tail[at - 76 : at] if at >= 76 and tail[at - 20 : at - 16] == b"PK\x06\x07" else b""
    return max(int.from_bytes(tail[at + 12 : at + 16], "little") % 0xFFFFFFFF, int.from_bytes(large[40:48], "little"))


def _part(data: bytes, part: zipfile.ZipInfo) -> memoryview:
    at = part.header_offset
    header = data[at : at + 30]
    if header[:4] != ZIP or len(header) < 30 or part.flag_bits & 1:
        raise UnreadableError(DAMAGED)
    start = at + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    content = memoryview(data)[start : start + part.file_size]
    # torch leaves checksums out, as 0, where it is told to.
    if len(content) < part.file_size or (part.CRC and zlib.crc32(content) != part.CRC):
        raise UnreadableError(f"{DAMAGED}: {part.filename[-60:]!r} is not what its checksum says")
    return content


def _no_storage(name: tuple[Any, ...]) -> Storage:  # noqa: ARG001 - one of its kind
    raise UnreadableError(DAMAGED)
