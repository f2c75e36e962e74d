"""Tests of temporary files: a later run removes those of killed writers, but not those of living ones."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.system.files import temporary_files as leftovers
from faultbench.system.files.disk import replaced
from faultbench.system.files.temporary_files import remove_leftovers, temporary_of
from tests.builders.runs import finished
from tests.runner.test_campaign_runner import root, trained  # noqa: F401 - fixtures

WRITER = """
import sys, time
from pathlib import Path
from faultbench.system.files.disk import replaced
with replaced(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
"""


def writing(path: Path) -> tuple["subprocess.Popen[str]", Path]:
    """Start a process that stays in the middle of writing path. Return it and its temporary file."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.crash
def test_a_killed_writers_file_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    killed, left = writing(tmp_path / "tables" / "cells.csv")
    living, kept = writing(tmp_path / "plots" / "accuracy.pdf")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.exists()
    os.utime(kept, (0, 0))  # however long it takes
    try:
        remove_leftovers(tmp_path)
        assert not left.exists()
        assert kept.read_text() == "half"
    finally:
        living.kill()
        living.wait()


def named(folder: Path, name: str, host: str, process: int, age_s: float = 0) -> Path:
    path = folder / f".{name}.{host}.{process}"
    path.write_text("half")
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


@pytest.mark.parametrize("has_locks", [True, False])
def test_what_nobody_owns_is_told_by_process_machine_and_age(
    has_locks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    if not has_locks:
        monkeypatch.setattr(leftovers.fcntl, "flock", refuse)
    here, dead = socket.gethostname(), dead_process()
    gone = [
        named(tmp_path, "manifest.json", here, dead),
        named(tmp_path, "weights-a.safetensors", here, dead),
        named(tmp_path, "manifest.json", "elsewhere.example", 1, age_s=2 * 86400),
    ]
    stays = [
        named(tmp_path, "manifest.json", here, os.getppid()),
        named(tmp_path, "cells.csv", "elsewhere.example", dead, age_s=60),
        named(tmp_path, "notes", here, dead),
        named(tmp_path, "bashrc", "x", 1, age_s=10**7),
        tmp_path / ".lock",
    ]
    (tmp_path / ".lock").write_text("")
    remove_leftovers(tmp_path)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stays if not path.exists()] == []


def test_a_link_in_a_temporary_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    temporary_of(tmp_path / "cells.csv").symlink_to(tmp_path / "precious")
    with replaced(tmp_path / "cells.csv") as temporary:
        temporary.write_text("new")
    named(tmp_path, "report.html", "x", 1).unlink()
    (tmp_path / f".report.html.{socket.gethostname()}.{dead_process()}").symlink_to(tmp_path / "precious")
    remove_leftovers(tmp_path)
    assert (tmp_path / "precious").read_text() == "kept"
    assert (tmp_path / "cells.csv").read_text() == "new"


@pytest.mark.slow
def test_a_later_run_removes_what_killed_ones_left(root: Path) -> None:  # noqa: F811
    folder, dead = root / "small", dead_process()
    weights = next((folder / "artifacts").glob("weights-*.safetensors"))
    (folder / "tables").mkdir()
    left = [
        named(folder, "manifest.json", socket.gethostname(), dead),
        named(folder / "tables", "cells.csv", socket.gethostname(), dead),
        named(folder / "artifacts", weights.name, socket.gethostname(), dead),
        folder / "artifacts" / f"partial-{weights.name}",
    ]
    unfinished = folder / "artifacts" / "partial-weights-0123.safetensors"
    for path in (left[-1], unfinished):
        path.write_bytes(b"epochs")
    finished(root, "schemes=[relu]", "trials=1")
    assert [path for path in left if path.exists()] == []
    assert unfinished.exists()
    assert ArtifactStore(folder / "artifacts").load(weights.stem)
