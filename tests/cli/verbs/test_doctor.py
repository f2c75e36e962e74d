import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

import faultbench
from faultbench.cli.verbs import doctor
from faultbench.cli.verbs.doctor import MachineFinding, extras, machine_findings, required_torch

BIN = Path(sys.executable).parent


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "faultbench", *arguments]
    given = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=given)


@pytest.mark.slow
def test_a_sound_machine_is_told_what_it_has_and_what_to_type_next(tmp_path: Path):
    done = cli("doctor", FAULTBENCH_DATA=str(tmp_path))
    assert done.returncode == 0
    lines = {line.split()[1]: line for line in done.stdout.splitlines()}
    package = Path(faultbench.__file__).parent
    assert lines["faultbench"].split() == ["ok", "faultbench", f"{faultbench.__version__},", str(package)]
    assert lines["torch"].split() == ["ok", "torch", torch.__version__.partition("+")[0]]
    assert lines["torchvision"].endswith("made for this torch")
    assert lines["digits"].endswith("comes with the package")
    assert lines["cifar10"].startswith("--")
    assert str(tmp_path / "cifar-10-batches-py") in lines["cifar10"]
    assert done.stderr == "next: faultbench validate CAMPAIGN, then faultbench run CAMPAIGN\n"


def test_data_that_is_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cifar-100-python").mkdir()
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path))
    states = {finding.name: finding.state for finding in machine_findings()}
    assert (states["cifar10"], states["cifar100"]) == ("missing", "ok")


def test_a_torchvision_made_for_another_torch_is_broken_and_ends_with_4(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy", "torch==1.2.3"])
    finding = doctor._torchvision()
    assert finding.state == "broken"
    assert "is made for torch 1.2.3; pip install torch==1.2.3" in finding.text
    from click.testing import CliRunner

    monkeypatch.setattr(doctor, "machine_findings", lambda: iter([finding]))
    done = CliRunner().invoke(doctor.command, standalone_mode=False)
    assert done.return_value == 4
    assert done.stdout.startswith("BROKEN torchvision")


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_requirements", lambda: ["no-such-package>=1; extra == 'gone'"])
    assert list(doctor._extras()) == [
        MachineFinding("missing", "[gone]", "no-such-package not installed; pip install 'faultbench-dnn[gone]'")
    ]


def test_requirements_are_read_as_metadata_writes_them():
    assert required_torch(["numpy", "torch==2.15.0"]) == "2.15.0"
    assert required_torch(["torch (==2.11.0)"]) == "2.11.0"
    assert required_torch(["torch>=2", "torchmetrics==1.0"]) is None
    assert extras(["click>=8", "ray>=2.35; extra == 'ray'", 'ruff; extra == "dev"']) == {"ray": "ray"}


# Shells


def test_version_is_printed():
    assert cli("--version").stdout.startswith("faultbench, version ")


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers at the end of a line, after the setup that the manual gives."""
    script = f"""
        eval "$(_FAULTBENCH_COMPLETE=bash_source faultbench)"
        COMP_WORDS=({line})
        [[ "{line}" == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        $(complete -p faultbench | sed -E 's/.*-F ([^ ]+).*/\\1/') faultbench
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, timeout=60, env=environment)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_verbs_options_and_values(tmp_path: Path):
    assert completed("faultbench exp", tmp_path) == ["export"]
    assert "--format" in completed("faultbench export --f", tmp_path)
    assert completed("faultbench export --format la", tmp_path) == ["latex"]
    assert {"run", "plan", "doctor"} <= set(completed("faultbench ", tmp_path))
    assert completed("faultbench nonsense x", tmp_path) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_offered_their_script(shell: str):
    done = cli(_FAULTBENCH_COMPLETE=f"{shell}_source")
    assert "_FAULTBENCH_COMPLETE" in done.stdout or "faultbench" in done.stdout
