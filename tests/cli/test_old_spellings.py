"""Old spellings of options are taken, with a line that says what to write, and no message suggests them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from faultbench.cli.old_spellings import current_spelling
from faultbench.cli.verbs import export, replay, run
from faultbench.cli.verbs import list as list_verb
from tests.builders.results import ArtificialCampaign

LAB = """
import faultbench.plugins.registry as registry
from torch import nn


@registry.model("lab_net")
def lab_net(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    \"\"\"One layer.\"\"\"
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes), nn.ReLU())
"""
CAMPAIGN = """
name: lab
plugins: [lab]
datasets: [digits]
models: [lab_net]
schemes: [relu]
bers: [1e-6]
trials: 2
"""

OLD = [
    (run.command, ["c.yaml", "--plugins", "--limit", "5"], ["c.yaml", "--trust-plugins", "--limit", "5"]),
    (run.command, ["-s", "--plugins", "-o", "--plugins", "c.yaml"], ["-s", "--plugins", "-o", "--plugins", "c.yaml"]),
    (run.command, ["--", "--plugins"], ["--", "--plugins"]),
    (list_verb.command, ["models", "--plugins", "lab"], ["models", "--plugin", "lab"]),
    (list_verb.command, ["models", "--plugins=lab"], ["models", "--plugin=lab"]),
    (
        replay.command,
        ["r", "c", "1", "--limit", "all", "--fails-at=3", "--plugins"],
        ["r", "c", "1", "--rows", "all", "--points-lost=3", "--trust-plugins"],
    ),
    (export.command, ["r", "--best", "bold"], ["r", "--best"]),
    (export.command, ["--best=bold", "r"], ["--best", "r"]),
    (export.command, ["r", "--best", "none", "--ci", "none"], ["r", "--ci", "none"]),
    (export.command, ["--best", "r"], ["--best", "r"]),
]


@pytest.mark.parametrize(("command", "old", "new"), OLD, ids=[" ".join(old) for _, old, _ in OLD])
def test_an_old_spelling_is_read_as_the_new_one(command: object, old: list[str], new: list[str]) -> None:
    spelling = current_spelling(command, old)  # type: ignore[arg-type]  # click's commands have no common name here
    assert spelling.words == new
    assert bool(spelling.replaced) == (old != new)


def faultbench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "faultbench", *words]
    return subprocess.run(program, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_old_spelling_works_and_is_told_in_one_line(tmp_path: Path) -> None:
    folder = ArtificialCampaign().write(tmp_path)
    new = faultbench("export", str(folder), "--format", "markdown", "--best", cwd=tmp_path)
    assert (new.returncode, new.stderr) == (0, "")
    old = faultbench("export", str(folder), "--format", "markdown", "--best", "bold", cwd=tmp_path)
    assert (old.returncode, old.stderr) == (0, "deprecated: --best bold; write --best\n")
    assert old.stdout == new.stdout
    plain = faultbench("export", str(folder), "--format", "markdown", cwd=tmp_path)
    assert plain.stdout != new.stdout


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "lab.py").write_text(LAB)
    (tmp_path / "lab.yaml").write_text(CAMPAIGN)
    return tmp_path


def test_modules_of_plug_ins_are_named_by_either_spelling(lab: Path) -> None:
    new = faultbench("list", "models", "--plugin", "lab", cwd=lab)
    old = faultbench("list", "models", "--plugins", "lab", cwd=lab)
    assert "lab_net" in new.stdout == old.stdout
    assert (new.stderr, old.stderr) == ("", "deprecated: --plugins; write --plugin\n")


@pytest.mark.slow
def test_the_command_that_resumes_a_run_has_the_new_spelling(lab: Path) -> None:
    ended = faultbench("run", "lab.yaml", "--plugins", "--engine", "serial", "--time-limit", "1s",
                       "-s", "trials=1000000", "--progress", "json", cwd=lab)  # fmt: skip
    assert ended.returncode == 75
    first = json.loads(ended.stderr.splitlines()[0])
    assert (first["event"], first["sort"]) == ("said", "warning")
    assert first["message"] == "deprecated: --plugins; write --trust-plugins"
    resume = ended.stderr.splitlines()[-1].partition("to go on: ")[2]
    assert "--trust-plugins" in resume.split()
    assert "--plugins" not in resume.split()
