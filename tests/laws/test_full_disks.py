"""Disks that are full while something else than the journal is written: one line, exit code 4, nothing half done."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.results import ArtificialCampaign

pytestmark = pytest.mark.crash

CAMPAIGN = """
name: small
datasets: [digits]
models: [digits_cnn]
schemes: [relu]
bers: [1e-5]
trials: 2
images: 20
training: {schedule: fast, epochs: 1}
"""


def on_a_disk_of(n_bytes: int, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """What a command does where no file can grow beyond so many bytes."""
    return subprocess.run(
        [sys.executable, "-m", "faultbench", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes)),
    )


def left_over(folder: Path) -> Iterator[Path]:
    """Temporary files below a folder."""
    return (path for path in folder.rglob(".*") if not path.name.startswith(".lock"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with trials, and no tables yet."""
    return ArtificialCampaign(trials=12).write(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("verb", ["plot", "report", "export --format csv", "export --format parquet"])
def test_what_is_made_of_results_is_one_line_on_a_full_disk(verb: str, results: Path) -> None:
    name, *options = verb.split()
    done = on_a_disk_of(600, name, results, *options, cwd=results)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"faultbench: {results}")
    assert "cannot be written: " in line
    assert list(left_over(results)) == []


def test_a_trained_network_that_does_not_fit_is_one_line_and_the_run_resumes(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CAMPAIGN, encoding="utf-8")
    full = on_a_disk_of(100_000, "run", "small.yaml", "--engine", "serial", "--progress", "plain", cwd=tmp_path)
    assert full.returncode == 4, full.stderr
    (line,) = (line for line in full.stderr.splitlines() if line.startswith("faultbench: "))
    assert "/artifacts/weights-" in line
    assert "to go on: " in line
    assert "Traceback" not in full.stderr
    assert list(left_over(tmp_path)) == []
    again = on_a_disk_of(10**8, "run", "small.yaml", "--engine", "serial", "--progress", "plain", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
