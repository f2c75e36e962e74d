"""The batch script that `faultbench slurm` prints: sized by the work that is missing, and it runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.crashes import Lab

CAMPAIGN = """
name: sized
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 1000000
"""


REPOSITORY = Path(__file__).parents[2]


def ended(*arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it said on stderr."""
    program = [sys.executable, "-m", "faultbench", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def script(*arguments: str) -> str:
    program = [sys.executable, "-m", "faultbench", "slurm", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout


def n_shards(text: str) -> int:
    (count,) = re.findall(r"--array=1-(\d+)\n", text)
    assert f'--shard "$SLURM_ARRAY_TASK_ID/{count}"' in text
    return int(count)


@pytest.mark.slow
def test_more_work_less_time_and_fewer_cores_make_more_shards(tmp_path: Path) -> None:
    file = tmp_path / "sized.yaml"
    file.write_text(CAMPAIGN)
    usual = n_shards(script(str(file), "--hours", "1", "--cpus", "4"))
    assert usual > 1
    assert n_shards(script(str(file), "--hours", "4", "--cpus", "16")) < usual / 4
    assert n_shards(script(str(file), "--hours", "1", "--cpus", "4", "-s", "trials=10")) == 1


def run_line(text: str) -> list[str]:
    """The words of the script's last line, as the shell of a job reads them."""
    return shlex.split(text.splitlines()[-1])


@pytest.fixture
def sized(tmp_path: Path) -> Path:
    file = tmp_path / "a folder" / "sized.yaml"
    file.parent.mkdir()
    file.write_text(CAMPAIGN)
    return file


@pytest.mark.slow
def test_a_job_gets_the_options_that_the_script_is_made_with(sized: Path, tmp_path: Path) -> None:
    copied = sized.parent.parent / "w.safetensors"
    copied.write_bytes((REPOSITORY / "campaigns" / "ci_small.safetensors").read_bytes())
    override = "models=[{name: digits_cnn, weights: ../w.safetensors}]"
    given = ["-s", override, "-s", "trials=10", "--allow-outside", "--data-dir", str(tmp_path / "it's data")]
    given += ["--engine", "serial", "--device", "cpu", "--memory", "1G", "--stall-limit", "20m", "--limit", "5"]
    words = run_line(script(str(sized), *given, "--paranoid", "--retry-quarantined", "--workers", "3"))
    assert words[:4] == ["exec", "faultbench", "run", str(sized)]
    assert [words[place + 1] for place, word in enumerate(words) if word == "-s"] == [override, "trials=10"]
    expected = {
        "--data-dir": str(tmp_path / "it's data"), "--engine": "serial", "--device": "cpu", "--memory": str(1 << 30),
        "--stall-limit": "1200s", "--limit": "5", "--workers": "3", "--time-limit": "14100s",
    }  # fmt: skip
    assert {name: words[words.index(name) + 1] for name in expected} == expected
    assert {"--allow-outside", "--paranoid", "--retry-quarantined"} < set(words)
    assert ended(*words[2:], "--help")[0] == 0  # `run` knows each of them


@pytest.mark.slow
def test_a_job_of_a_plain_command_gets_no_other_option(sized: Path) -> None:
    words = run_line(script(str(sized), "-s", "trials=10"))
    assert [word for word in words if word.startswith("--")] == ["--shard", "--workers", "--time-limit"]


@pytest.mark.slow
def test_data_named_in_the_environment_is_named_in_the_job(sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTBENCH_DATA", "/scratch/data")
    words = run_line(script(str(sized), "-s", "trials=10"))
    assert words[words.index("--data-dir") + 1] == "/scratch/data"


@pytest.mark.slow
def test_the_site_has_its_own_lines(sized: Path) -> None:
    site = ["--partition", "short,long", "--account", "proj-12", "--mem", "16G", "--sbatch=--gres=gpu:1"]
    text = script(str(sized), "-s", "trials=10", *site, "--setup", "module load python", "--setup", '. "$HOME/v/bin/a"')
    header, _, body = text.partition("\n\n")
    for line in ("--partition=short,long", "--account=proj-12", "--mem=16G", "--gres=gpu:1"):
        assert f"#SBATCH {line}\n" in header + "\n"
    assert body.splitlines()[-3:-1] == ["module load python", '. "$HOME/v/bin/a"']
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--partition", "x\n#SBATCH --wrap=id"), ("--account", "$(id)"), ("--mem", "1 G"), ("--mem", ""),
        ("--setup", "module load x\nid"), ("--setup", "a\rb"), ("--setup", " "), ("--sbatch", "qos=short"),
        ("--sbatch", "--wrap=id; id"),
    ],
)  # fmt: skip
def test_a_value_that_would_be_another_line_is_refused(sized: Path, option: str, value: str) -> None:
    code, said = ended("slurm", str(sized), "-s", "trials=10", f"{option}={value}")
    assert (code, said.count("\n")) == (2, 1)
    assert option in said


@pytest.mark.slow
def test_a_campaign_that_takes_no_shards_is_one_job(sized: Path) -> None:
    rule = [
        "-s",
        "trials={max: 1000000, min: 100, until: {accuracy_halfwidth: 0.001}}",
        "--hours",
        "0.25",
        "--cpus",
        "1",
    ]
    assert n_shards(script(str(sized), *rule)) == 1


@pytest.mark.slow
def test_more_shards_than_a_run_takes_are_refused(sized: Path) -> None:
    bers = ", ".join(f"{number}e-7" for number in range(1, 1001))
    code, said = ended(
        "slurm", str(sized), "-s", "trials=1000000000", "-s", f"bers=[{bers}]", "--hours", "0.25", "--cpus", "1"
    )
    assert (code, said.count("\n")) == (2, 1)
    assert "jobs of 0.25 hours on 1 cores, but a campaign is divided into 1,000,000 at most; give more --hours" in said


@pytest.mark.parametrize(
    "shard", ["1/1000001", "0/4", "5/4", "1/99999999999999999999", "\u0661/\u0664", "1000001/1000001"]
)
def test_a_run_takes_no_other_shards_than_the_script_can_have(sized: Path, shard: str) -> None:
    code, said = ended("run", str(sized), "--shard", shard)
    assert (code, said.count("\n")) == (2, 1)
    assert "is no shard; write 1/4 to 4/4 for the four parts of the work, of 1,000,000 at most" in said


@pytest.mark.crash
def test_the_script_runs_its_shard_and_stops_in_time(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "a folder").write()
    text = script(
        str(lab.folder / "crashes.yaml"), "--trust-plugins", "-o", str(lab.folder / "results"), "--hours", "0.5"
    )
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
