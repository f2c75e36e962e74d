"""Tests of reading files of unknown origin: whole, up to a size, in no more memory than they need."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from faultbench.campaign.given_weights import file_bytes, file_digest
from faultbench.system.files.regular_files import UnsoundFileError, opened_regular, read_at_most, read_regular

READ = """
import resource, sys
from pathlib import Path
from faultbench.system.files.regular_files import read_regular
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
assert len(read_regular(Path(sys.argv[1]), 2**34)) == 3_000_000
"""


def test_a_file_is_read_whole_and_one_of_a_byte_too_many_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for n_bytes in (0, 1, 2**20, 3_000_000):
        path.write_bytes(bytes(n_bytes))
        assert read_regular(path, n_bytes) == bytes(n_bytes)
    with pytest.raises(UnsoundFileError, match="larger than"):
        read_regular(path, 2_999_999)


def test_a_bound_of_gibibytes_takes_no_memory_that_the_file_does_not_need(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))
    assert subprocess.run([sys.executable, "-c", READ, str(path)], check=False).returncode == 0


@pytest.mark.parametrize("read", [lambda path: read_regular(path, 9), file_bytes, file_digest])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket"])
def test_what_is_no_file_is_neither_opened_nor_waited_for(kind: str, read: Callable[[Path], object]) -> None:
    # The socket is not below pytest's folder, whose path is too long for a socket.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "odd"
        made = {
            "folder": path.mkdir,
            "pipe": lambda: os.mkfifo(path),
            "device": lambda: path.symlink_to("/dev/zero"),
            "socket": lambda: server.bind(str(path)),
        }
        made[kind]()
        with pytest.raises(UnsoundFileError, match=r"^not a regular file$"):
            read(path)


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    real = os.open

    def swapped(given: Path, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(given, flags)

    n_open = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(UnsoundFileError, match="not a regular file"), opened_regular(path):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == n_open


def test_what_a_file_grows_by_while_it_is_read_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    with path.open("rb") as source:
        assert source.read(1) == b"o"
        with path.open("ab") as writer:
            writer.write(bytes(2_000_000))
        assert len(read_at_most(source, 10**9)) == 2_000_002
