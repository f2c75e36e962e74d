"""Tests of locks of results folders: a lock names its holder, and a disk without locks stops no run."""

import errno
import fcntl
import os
import re
import socket
from pathlib import Path

import pytest

from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.files.locks import in_turn, locked


def test_a_held_lock_is_refused_naming_host_and_process(tmp_path: Path) -> None:
    holder = re.escape(f"faultbench run on {socket.gethostname()}, process {os.getpid()} is writing here")
    with (
        locked(tmp_path / "results") as is_held,
        pytest.raises(FaultbenchError, match=holder),
        locked(tmp_path / "results"),
    ):
        pass
    assert is_held
    with locked(tmp_path / "results") as is_held:
        assert is_held


def test_shards_hold_locks_of_their_own(tmp_path: Path) -> None:
    with locked(tmp_path, ".shard-1-of-2"), locked(tmp_path, ".shard-2-of-2") as is_held:
        assert is_held


@pytest.mark.parametrize("answer", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_told_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path) as is_held, in_turn(tmp_path / ".lock.artifacts"):
        assert not is_held


def test_an_error_of_the_disk_names_the_lock(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(EngineError, match=r"results/\.lock"), locked(tmp_path / "results"):
        pass
