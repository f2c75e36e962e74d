"""`faultbench check` as a user meets it: exit codes, one clear line on bad input, and files that CI systems read."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from faultbench.campaign import load_campaign
from faultbench.cli.main import main
from faultbench.networks.network import Network
from faultbench.results.journal.records import Quarantine
from tests.builders.results import write_journal

CAMPAIGN = """
name: gate
datasets: [digits]
models: [{name: digits_cnn, weights: good.safetensors}]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 30
images: 60
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    exit_code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def made(digits_cnn: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a campaign, its baseline and results, good weights and bad ones."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "gate.yaml").write_text(CAMPAIGN, encoding="utf-8")
    good = {name: tensor.clone() for name, tensor in digits_cnn.graph.state_dict().items()}
    save_file(good, folder / "good.safetensors")
    rng = torch.Generator().manual_seed(3)
    save_file({k: v + 0.15 * torch.randn(v.shape, generator=rng) for k, v in good.items()}, folder / "bad.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["faultbench", "check", "gate.yaml", "--baseline", "base.json", "--update-baseline"])
        sys.argv += ["--engine", "serial"]
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path / "work"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def check(*arguments: object, baseline: str | None = "base.json") -> Done:
        given = [] if baseline is None else ["--baseline", baseline]
        verb = ["faultbench", "check", "gate.yaml", *given, "--engine", "serial", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", verb)
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return check


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    baseline = json.loads((folder / "base.json").read_text())
    change(baseline)
    (folder / "base.json").write_text(json.dumps(baseline))


def test_a_run_anew_is_identical_and_writes_the_same_baseline(folder: Path, run: Run):
    done = run("--fresh", "--junit", "junit.xml", "--max-drop", "1pp")
    assert done.exit_code == 0, done.err
    assert done.out.splitlines()[-1] == "check of gate against base.json: passed: 4 identical"
    assert "earlier run" not in done.out
    assert (folder / "junit.xml").read_text().count("<testcase") == 4
    before = (folder / "base.json").read_bytes()
    assert run("--fresh", "--update-baseline").exit_code == 0
    assert (folder / "base.json").read_bytes() == before


def test_trials_of_an_earlier_run_are_said_to_be_that(folder: Path, run: Run):
    assert "120 trials in results/gate are from an earlier run and were not run again; --fresh" in run().out


def test_worse_weights_are_a_regression(folder: Path, run: Run):
    shutil.copy("bad.safetensors", "good.safetensors")
    done = run("--max-drop", "5pp")
    assert done.exit_code == 1, done.out
    assert re.search(r"REGRESSION +other weights: golden accuracy", done.out)
    assert "The weights are not the baseline's: digits/digits_cnn/q15.16." in done.out
    assert "Golden accuracy of digits/digits_cnn/relu/none/q15.16/bernoulli: " in done.out


def test_another_environment_is_no_alarm(folder: Path, run: Run):
    edited(folder, lambda baseline: baseline["environment"].update(processor="abacus × 1"))
    same = run()
    assert same.exit_code == 0
    assert "The environment is not the baseline's (processor abacus × 1 → " in same.out
    edited(folder, lambda baseline: baseline["cells"][0]["golden"].update(top1_digest="other"))
    other = run()
    assert other.exit_code == 0, other.out
    assert "other environment: to tell a drop of 0.5 pp takes" in other.out
    assert run("--strict").exit_code == 1


def test_another_outcome_in_the_same_environment_is_named(folder: Path, run: Run):
    edited(folder, lambda baseline: baseline["cells"][0]["golden"].update(top1_digest="other"))
    done = run("--junit", "junit.xml")
    assert done.exit_code == 1
    assert "numerics: same flips and weights, but another golden run" in (folder / "junit.xml").read_text()


def test_a_broken_limit_fails_and_github_hears_of_it(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    limits = ("accuracy_mean < 0.99 @ scheme=relu, ber=1e-5", "accuracy_mean < 0.01 @ scheme=clip_act")
    done = run("--fail-if", limits[0], "--fail-if", limits[1], baseline=None)
    assert done.exit_code == 1
    (line,) = [line for line in done.out.splitlines() if line.startswith("::error")]
    assert "accuracy_mean < 0.99 @ scheme=relu, ber=1e-5 in digits/digits_cnn/relu" in line
    assert "BROKEN" in (folder / "summary.md").read_text()
    assert run("--fail-if", limits[1], baseline=None).exit_code == 0


def test_limits_hold_for_trials_over_some_of_the_images_too(folder: Path, run: Run):
    shutil.rmtree("results")
    fewer = ("-s", "images={per_trial: 8}", "-s", "trials=5", "-s", "schemes=[relu]")
    done = run(*fewer, "--fail-if", "accuracy_mean < 0.01", baseline=None)
    assert done.exit_code == 0, done.err
    assert "2 limits kept" in done.out
    refused = run(*fewer)
    assert refused.exit_code == 2
    assert "gate.yaml: images: a baseline holds trials over the same images" in refused.err


def test_a_trial_that_its_golden_run_does_not_allow_is_refused_before_anything_runs(folder: Path, run: Run):
    shutil.rmtree("results")
    edited(folder, lambda baseline: baseline["cells"][1]["golden"].update(n_correct=3))
    done = run()
    assert (done.exit_code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "base.json: no faultbench baseline: cells.1: Value error, trial 0: its golden run does not allow it" in line
    assert not (folder / "results").exists()


def test_quarantined_trials_are_no_pass_and_no_baseline(folder: Path, run: Run):
    cell = load_campaign(folder / "gate.yaml").cells[0].key
    given_up = Quarantine(cell=cell, trial=30, n_deaths=3, reason="killed")
    write_journal(folder / "results" / "gate" / "journal", "other", [given_up])
    done = run("-s", "trials=31")
    assert done.exit_code == 3
    assert "not finished: 1 trials quarantined" in done.out
    before = (folder / "base.json").read_bytes()
    refused = run("-s", "trials=31", "--update-baseline")
    assert refused.exit_code == 3
    assert "not written: digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6: 1 trials quarantined" in refused.err
    assert (folder / "base.json").read_bytes() == before


WRONG: dict[str, tuple[list[str], str | None, str]] = {
    "nothing to compare with": ([], None, "add --baseline FILE"),
    "an update of nothing": (["--update-baseline"], None, "add --baseline FILE"),
    "no such baseline": ([], "none.json", "none.json: no such baseline; add --update-baseline"),
    "no baseline": ([], "gate.yaml", "gate.yaml: no faultbench baseline"),
    "no margin": (["--max-drop", "some"], "base.json", "--max-drop 'some': no margin"),
    "no limit": (["--fail-if", "accuracy"], "base.json", "--fail-if 'accuracy': no limit"),
    "no such cell": (["--fail-if", "accuracy_mean < 0 @ scheme=relo"], "base.json", "did you mean 'relu'?"),
    "another campaign": (["-s", "name=other"], "base.json", "the baseline of another campaign: 'gate' there, 'other'"),
    "another seed": (["-s", "seed=1"], "base.json", "no trial of this campaign has a partner there: seed 0 there, 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_exit_code_2_with_one_line_before_anything_runs(case: str, folder: Path, run: Run):
    shutil.rmtree(folder / "results")
    arguments, baseline, message = WRONG[case]
    done = run(*arguments, baseline=baseline)
    assert (done.exit_code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert message in line
    assert not (folder / "results").exists()
