"""A results folder that is moved, removed or replaced under a run, and --fresh, which moves one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faultbench.results.archive import archive
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.journal import Journal
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.files.locks import SILENT_S, alone, in_turn, locked
from tests.builders.crashes import Lab, Run, resume_commands
from tests.laws.test_crash_runs import IN_FLIGHT, undisturbed  # noqa: F401 - a fixture


@pytest.mark.parametrize("suffix", ["", ".shard-1-of-2", ".shard-9-of-12"])
def test_a_folder_that_is_written_to_is_not_moved(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with locked(folder, suffix), pytest.raises(FaultbenchError, match=f"process {os.getpid()} is writing here"):
        archive(folder)
    archive(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["small~1"]


def test_a_run_does_not_begin_in_a_folder_that_is_being_moved(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    with alone(tmp_path), pytest.raises(FaultbenchError, match="is writing here"), locked(tmp_path, ".shard-1-of-2"):
        pass


def test_a_shard_that_trains_for_all_is_a_run_too(tmp_path: Path) -> None:
    with locked(tmp_path, ".shard-1-of-2"), in_turn(tmp_path / ".lock.artifacts"), pytest.raises(FaultbenchError):
        archive(tmp_path)


@pytest.mark.parametrize(("age_s", "is_refused"), [(1, True), (SILENT_S + 60, False)])
def test_a_run_of_another_machine_counts_by_its_signs_of_life(age_s: float, is_refused: bool, tmp_path: Path) -> None:
    lock = tmp_path / "small" / ".lock.shard-1-of-2"
    lock.parent.mkdir()
    lock.write_text("faultbench run on elsewhere, process 77\n")
    os.utime(lock, (time.time() - age_s, time.time() - age_s))
    if is_refused:
        with pytest.raises(
            FaultbenchError, match=r"run on elsewhere, process 77 was writing here 1 s ago.*remove .*lock"
        ):
            archive(tmp_path / "small")
    else:
        archive(tmp_path / "small")


def test_without_locks_a_living_process_of_this_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("faultbench.system.files.locks.fcntl.flock", refuse)
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / ".lock").write_text(f"faultbench run on {socket.gethostname()}, process {os.getppid()}\n")
    with pytest.raises(FaultbenchError, match=f"process {os.getppid()} was writing here"):
        archive(folder)


def test_a_run_that_ended_leaves_no_name(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text()
    assert (tmp_path / ".lock").read_text() == ""


LOSSES: dict[str, Callable[[Path], object]] = {
    "the file is removed": lambda path: path.unlink(),
    "the folder is removed": lambda path: shutil.rmtree(path.parent),
    "the folder is moved": lambda path: path.parent.rename(path.parents[1] / "elsewhere"),
    "another file takes its place": lambda path: (path.unlink(), path.write_text("")),
    "it is emptied": lambda path: os.truncate(path, 0),
    "a file takes the folder's place": lambda path: (shutil.rmtree(path.parent), path.parent.write_text("")),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_journal_that_loses_its_file_says_so(loss: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", "one") as journal:
        journal.append({"kind": "trial"})
        journal.check()
        LOSSES[loss](journal.path)
        with pytest.raises(EngineError, match="was moved, removed or replaced while this run wrote to it") as raised:
            journal.check()
    assert ("lies in" in str(raised.value)) == (loss == "the folder is moved")


@pytest.fixture
def lab(undisturbed: Lab, tmp_path: Path) -> Lab:  # noqa: F811
    lab = Lab(tmp_path).write()
    shutil.copytree(undisturbed.results / "artifacts", lab.results / "artifacts")
    return lab


VANISHINGS: dict[str, Callable[[Path], object]] = {
    "removed": shutil.rmtree,
    "moved": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "replaced by an empty one": lambda folder: (folder.rename(folder.with_name("elsewhere")), folder.mkdir()),
    "without its journal": lambda folder: shutil.rmtree(folder / "journal"),
    "without its manifest": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.crash
@pytest.mark.parametrize("case", VANISHINGS)
def test_a_folder_that_vanishes_ends_the_run_within_seconds(case: str, lab: Lab) -> None:
    lab.arm("slow")  # 8,000 trials take minutes, and a chunk of them seconds
    run = lab.start(*IN_FLIGHT, "-s", "trials=2000")
    assert run.until_recorded(2), run.said
    VANISHINGS[case](lab.results)
    gone_s = time.monotonic()
    assert run.wait() == 4, run.said
    assert time.monotonic() - gone_s < 30
    (line,) = (line for line in run.said.splitlines() if line.startswith("faultbench: "))
    assert "this run" in line
    assert "Traceback" not in run.said
    if case == "moved":
        kept = lab.results.with_name("elsewhere")
        assert str(kept / "journal") in line
        assert len(read_journal(kept / "journal").trials) >= 2


@pytest.mark.crash
def test_fresh_is_refused_under_a_running_shard_which_goes_on(lab: Lab) -> None:
    lab.arm("slow")
    shard = lab.start("--shard", "1/2", "--workers", "1", "--progress", "plain", "-s", "trials=400")
    assert shard.until_recorded(2), shard.said
    fresh = lab.run("--fresh", "--limit", "1", "--workers", "1", "--progress", "plain")
    assert fresh.code == 2
    (line,) = fresh.said.splitlines()
    assert "is writing here" in line
    assert str(shard.process.pid) in line
    lab.arm()
    assert shard.wait() == 0, shard.said
    assert [path.name for path in lab.results.parent.iterdir()] == [lab.results.name]


@pytest.mark.crash
def test_the_command_to_go_on_with_does_not_begin_anew(lab: Lab) -> None:
    lab.arm("slow")
    run = lab.start("--fresh", *IN_FLIGHT, "-s", "trials=200")
    assert run.until_recorded(3), run.said
    run.send(signal.SIGTERM)
    assert run.wait() == 75
    (command,) = resume_commands(run.said)
    assert "--fresh" not in command
    assert "--workers 2" in command
    n_recorded = lab.n_recorded()
    lab.arm()
    again = Run(lab, ["bash", "-c", command])
    assert again.wait() == 0, again.said
    assert lab.n_recorded() > n_recorded
    assert len(list(lab.results.parent.iterdir())) == 2  # the artifacts that were there, put aside, and these


def test_a_run_that_ends_before_it_begins_anew_keeps_fresh(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\ndatasets: [digits]\nmodels: [digits_cnn]\nschemes: [relu]\nbers: [1e-5]\ntrials: 1\n"
    )
    folder = tmp_path / "results" / "tiny"
    with locked(folder, ".shard-1-of-2"):
        program = (
            "import sys, faultbench.cli.verbs.run as run, faultbench.system.errors as errors\n"
            "from pathlib import Path\n"
            "sys.argv = ['faultbench', 'run', 'tiny.yaml', '--fresh']\n"
            f"with run.resumable(Path({str(folder)!r}), fresh=True): raise errors.EngineError('no disk')"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("no disk; to go on: faultbench run tiny.yaml --fresh")
