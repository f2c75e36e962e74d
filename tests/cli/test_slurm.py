"""The batch script that `faultbench slurm` prints: sized by the work that is missing, and it runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from crashes import Lab

CAMPAIGN = """
name: sized
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 1000000
"""


def script(*arguments: str) -> str:
    program = [sys.executable, "-m", "faultbench", "slurm", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout


def n_shards(text: str) -> int:
    (count,) = re.findall(r"--array=1-(\d+)\n", text)
    assert f'--shard "$SLURM_ARRAY_TASK_ID/{count}"' in text
    return int(count)


def test_more_work_less_time_and_fewer_cores_make_more_shards(tmp_path: Path) -> None:
    file = tmp_path / "sized.yaml"
    file.write_text(CAMPAIGN)
    usual = n_shards(script(str(file), "--hours", "1", "--cpus", "4"))
    assert usual > 1
    assert n_shards(script(str(file), "--hours", "4", "--cpus", "16")) < usual / 4
    assert n_shards(script(str(file), "--hours", "1", "--cpus", "4", "-s", "trials=10")) == 1


@pytest.mark.crash
def test_the_script_runs_its_shard_and_stops_in_time(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "a folder").write()
    text = script(str(lab.folder / "crashes.yaml"), "--plugins", "-o", str(lab.folder / "results"), "--hours", "0.5")
    assert "#SBATCH --time=30\n" in text
    assert "--time-limit 1500s" in text
    program = tmp_path / "faultbench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m faultbench "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_CPUS_PER_TASK": "1",
    }
    subprocess.run(["bash"], input=text, text=True, env=environment, check=True, capture_output=True)
    assert lab.n_recorded() == 80
