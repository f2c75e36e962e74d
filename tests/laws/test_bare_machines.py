"""Machines without a home folder, without a user's name, and without a /dev/shm that can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.campaign_texts import TINY, write_tiny

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
NOBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-u", "HOME"]


def can(*command: str) -> bool:
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True, check=False).returncode


def faultbench(*arguments: str, before: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("FAULTBENCH_DATA", "XDG_CACHE_HOME", "USER", "LOGNAME"):
        environment.pop(name, None)
    command = [*before, sys.executable, "-m", "faultbench", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


@pytest.mark.skipif(not can(*NOBODY, "true"), reason="needs user namespaces")
def test_a_user_without_a_home_folder_is_served_or_told(folder: Path) -> None:
    (folder / "cifar.yaml").write_text(TINY.replace("[digits]", "[cifar10]"), encoding="utf-8")
    doctor = faultbench("doctor", before=NOBODY, cwd=folder)
    assert doctor.returncode == 0, doctor.stderr
    assert (
        "cifar10       this user has no home folder to keep data sets in; name a folder by --data-dir" in doctor.stdout
    )
    run = faultbench("run", "tiny.yaml", "--engine", "serial", "--progress", "plain", before=NOBODY, cwd=folder)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(not can("unshare", "-m", "true"), reason="needs mount namespaces")
def test_workers_that_cannot_be_started_are_one_line_and_serial_needs_none(folder: Path) -> None:
    read_only = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
    local = faultbench("run", "tiny.yaml", "--workers", "1", "--progress", "plain", before=read_only, cwd=folder)
    assert local.returncode == 4
    (line,) = (line for line in local.stderr.splitlines() if line.startswith("faultbench: "))
    assert "no worker process can be started: Read-only file system" in line
    assert "joblib" not in local.stderr
    serial = faultbench("run", "tiny.yaml", "--engine", "serial", "--progress", "plain", before=read_only, cwd=folder)
    assert serial.returncode == 0, serial.stderr
    assert faultbench("report", "results", before=read_only, cwd=folder).returncode == 0
