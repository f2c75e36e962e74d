"""Files of weights made to fill the memory or the time of whoever reads them: refused at the cost of their own size."""

import io
import json
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from faultbench.networks.weights.file_tensors import UnreadableError
from faultbench.networks.weights.loading import load_weights
from faultbench.networks.weights.weight_files import checkpoint_of
from faultbench.system.errors import FaultbenchError

PROTO = b"\x80\x02"
OLDER = b"".join(
    pickle.dumps(part, 2)
    for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
)


def archive(pickled: bytes, **storages: bytes) -> bytes:
    """As torch.save lays one out; the names of storages begin with an underscore here."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as parts:
        parts.writestr("a/data.pkl", pickled)
        parts.writestr("a/version", "3")
        parts.writestr("a/byteorder", "little")
        for key, content in storages.items():
            parts.writestr(f"a/data/{key[1:]}", content)
    return data.getvalue()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(n_values: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, key: str = "0") -> bytes:
    """Return a pickle of {"weight": tensor} over a storage that claims a number of float32 values."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(n_values) + b"tQ"
    arguments = storage + number(offset) + numbers(shape) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return PROTO + b"}" + text("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."


def safetensors(header: bytes, values: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + values


def entries(**entry: tuple[str, list[int], list[int]]) -> bytes:
    keys = ("dtype", "shape", "data_offsets")
    return json.dumps({name: dict(zip(keys, values, strict=True)) for name, values in entry.items()}).encode()


BYTEARRAY = PROTO + b"}q\x00" + text("a") + b"c__builtin__\nbytearray\nq\x01J\x00\x00\x00\x06\x85q\x02Rq\x03s."
"""{"a": bytearray(100 MB)}"""


def followed_by_zeros(data: bytes) -> bytes:
    """Python's zipfile looks for the end of an archive in the last 64 KiB alone, torch in the whole file."""
    return data + bytes(100_000)


def packed(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("a/data.pkl", PROTO + b"N0" * 10**6 + b".")
    return packed.getvalue()


def twice(pickled: bytes) -> bytes:
    data = io.BytesIO(archive(pickled))
    with zipfile.ZipFile(data, "a") as parts, pytest.warns(UserWarning, match="Duplicate name"):
        parts.writestr("a/data.pkl", pickled)
    return data.getvalue()


def crowded() -> bytes:
    part = b"PK\x01\x02" + bytes(24) + b"\x06\0" + bytes(16) + b"abcdef"
    end = b"PK\x05\x06" + bytes(8) + struct.pack("<II", len(part) * 200_000, 4) + bytes(2)
    return b"PK\x03\x04" + part * 200_000 + end


def damaged(data: bytes) -> bytes:
    return data.replace(b"\x11\x22\x33\x44", b"\x11\x22\x33\x45")


ROW = tensor(4, (4,), (1,))
"""A tensor of as many values as the network below has."""

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bytearray": (lambda: archive(BYTEARRAY), "it holds no state dict, but a"),
    "a bytearray, older": (lambda: OLDER + BYTEARRAY, "it is damaged or holds other things than tensors"),
    "a bytearray alone": (lambda: BYTEARRAY, "it is a pickle of something else than torch.save writes"),
    "a text of 2 GB": (lambda: archive(PROTO + b"X\xff\xff\xff\x7fabc."), "it is damaged"),
    "a text of many": (lambda: archive(b"\x80\x04\x8d" + b"\xff" * 8), "a pickle of protocol 4"),
    "a memo of 2 billion": (lambda: OLDER + PROTO + b"}r\xff\xff\xff\x7f.", "it is damaged"),
    "a tuple 100,000 deep": (lambda: archive(PROTO + b")" + b"\x85" * 10**5 + b"."), "it holds no state dict"),
    "a million dicts": (lambda: archive(PROTO + b"}" * 10**6 + b"."), "its pickle has more than 500,000 operations"),
    "keys that take ages to hash": (
        lambda: archive(PROTO + b"}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s."),
        "it holds no state dict",
    ),
    "a large pickle": (lambda: archive(PROTO + bytes(2**23)), "its pickle has 8,388,610 bytes, more than any state"),
    "a storage of 40 GB": (
        lambda: archive(tensor(10**10, (4,), (1,)), _0=bytes(16)),
        "claims a storage of 40,000,000,000",
    ),
    "one value 10^15 times": (
        lambda: archive(tensor(1, (10**5,) * 3, (0,) * 3), _0=bytes(4)),
        "weight is (100000, 100000",
    ),
    "100,000 dimensions": (lambda: archive(tensor(1, (1,) * 10**5, (0,) * 10**5), _0=bytes(4)), "sizes are no counts"),
    "a stride below 0": (lambda: archive(tensor(4, (4,), (-1,)), _0=bytes(16)), "sizes are no counts"),
    "a place below 0": (lambda: archive(tensor(4, (4,), (1,), -4), _0=bytes(16)), "sizes are no counts"),
    "beyond its storage": (lambda: archive(tensor(4, (4,), (1,), 1), _0=bytes(16)), "reaches beyond its own bytes"),
    "sizes beyond 64 bits": (lambda: archive(tensor(4, (2**70,), (1,)), _0=bytes(16)), "sizes are no counts"),
    "no such storage": (lambda: archive(tensor(4, (4,), (1,), key="7"), _0=bytes(16)), "a storage that the file lacks"),
    "zeros after an archive": (lambda: followed_by_zeros(archive(ROW, _0=bytes(16))), "File is not a zip file"),
    "zeros after a packed one": (lambda: followed_by_zeros(packed(b"")), "File is not a zip file"),
    "a packed archive": (lambda: packed(b""), "its parts are compressed, which torch never does"),
    "a directory of 200,000 parts": (lambda: crowded(), "it is an archive whose directory claims 10,"),
    "a part twice": (lambda: twice(ROW), "it holds two parts of one name"),
    "a damaged part": (
        lambda: damaged(archive(ROW, _0=b"\x11\x22\x33\x44" * 4)),
        "'a/data/0' is not what its checksum says",
    ),
    "a name twice": (
        lambda: archive(PROTO + b"}(" + (text("a") + b"N") * 2 + b"u."),
        "it holds two entries of one name: a",
    ),
    "a header of 10^18 bytes": (
        lambda: struct.pack("<Q", 10**18) + b"{",
        "its header claims 1,000,000,000,000,000,000",
    ),
    "a header of 5 MB": (lambda: safetensors(b"{" + b" " * 5_000_000), "its header claims 5,000,001 bytes"),
    "a header cut off": (lambda: struct.pack("<Q", 100) + b"{}", "it ends within its header"),
    "a deep header": (lambda: safetensors(b'{"a":' + b"[" * 10**6), "its header is damaged"),
    "a header's endless number": (lambda: safetensors(b'{"a":' + b"9" * 10**4 + b"}"), "its header is damaged"),
    "a header's name twice": (lambda: safetensors(b'{"a":{},"a":{}}'), "its header gives two entries of one name"),
    "values that overlap": (
        lambda: safetensors(entries(a=("F32", [1], [0, 4]), b=("F32", [1], [0, 4])), bytes(4)),
        "the bytes of b do not follow those before it",
    ),
    "a gap": (lambda: safetensors(entries(a=("F32", [1], [4, 8])), bytes(8)), "the bytes of a do not follow"),
    "bytes after the last": (
        lambda: safetensors(entries(a=("F32", [1], [0, 4])), bytes(8)),
        "its tensors take 4 bytes",
    ),
    "values that are not there": (
        lambda: safetensors(entries(a=("F32", [10**6], [0, 4 * 10**6])), bytes(4)),
        "its tensors take 4,000,000 bytes, and 4 follow the header",
    ),
    "a shape larger than its room": (
        lambda: safetensors(entries(a=("F32", [10**6, 10**6], [0, 4])), bytes(4)),
        "it holds a tensor that reaches beyond its own bytes",
    ),
    "a shape of many": (
        lambda: safetensors(entries(a=("F32", [2**40] * 10**5, [0, 4])), bytes(4)),
        "sizes are no counts",
    ),
    "a shape below 0": (lambda: safetensors(entries(a=("F32", [-1], [0, 4])), bytes(4)), "sizes are no counts"),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
    "a page": (lambda: b"<!DOCTYPE html><html>", "it is a page of the web"),
    "a tar archive": (lambda: bytes(257) + b"ustar" + bytes(250), "it is a tar archive, which torch wrote long ago"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_at_the_cost_of_its_own_size(kind: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[kind]
    path = tmp_path / "w.safetensors"  # content decides, not the name
    path.write_bytes(data := make())
    network = nn.Linear(4, 1, bias=False)
    network.weight = nn.Parameter(torch.zeros(4))
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(FaultbenchError, match=r"w\.safetensors: ") as raised:
            load_weights(network, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert peak < 60e6 + 3 * len(data)
    assert time.perf_counter() - started < 60


def test_the_files_of_this_test_are_those_that_are_meant(tmp_path: Path) -> None:
    network = nn.Linear(4, 1, bias=False)
    network.weight = nn.Parameter(torch.zeros(4))
    (tmp_path / "w.pt").write_bytes(archive(ROW, _0=struct.pack("<4f", 1, 2, 3, 4)))
    load_weights(network, tmp_path / "w.pt")
    assert network.weight.tolist() == [1, 2, 3, 4]
    (tmp_path / "w.pt").write_bytes(archive(BYTEARRAY))
    tracemalloc.start()
    torch.load(tmp_path / "w.pt", weights_only=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak > 90e6  # what torch's own reader takes for a file of 387 bytes


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_as_torch_reads_it(zipped: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0)
    content = {
        "views": [base[3:9], base[::5], base.view(2, 3, 4).permute(2, 0, 1), base[:0], base[7]],
        "kinds": [base.to(kind) for kind in (torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool)],
    }
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    found = checkpoint_of((tmp_path / "w.pt").read_bytes())
    for name, tensors in torch.load(tmp_path / "w.pt").items():
        for ours, theirs in zip(found[name], tensors, strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours.values(), theirs)


def test_checksums_that_torch_was_told_to_leave_out_are_not_missed(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert checkpoint_of((tmp_path / "w.pt").read_bytes())["a"].values().tolist() == [1, 1, 1]


def test_a_big_endian_file_is_read_as_numbers() -> None:
    parts = io.BytesIO(archive(ROW, _0=struct.pack(">4f", 1, 2, 3, 4)))
    data = io.BytesIO()
    with zipfile.ZipFile(parts) as old, zipfile.ZipFile(data, "w") as new:
        for name in ("a/data.pkl", "a/data/0"):
            new.writestr(name, old.read(name))
        new.writestr("a/byteorder", "big")
    assert checkpoint_of(data.getvalue())["weight"].values().tolist() == [1, 2, 3, 4]


def test_a_program_of_torchscript_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as parts:
        for name in ("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"):
            parts.writestr(name, PROTO + b"}.")
    with pytest.raises(UnreadableError, match="it is a TorchScript program"):
        checkpoint_of((tmp_path / "w.pt").read_bytes())
