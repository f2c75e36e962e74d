"""Numbers of trials that are lowered, raised or huge: counts stay right, and nothing grows before work starts."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faultbench.campaign.stopping_rule import StoppingRule, StoppingTarget
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import read_folder
from faultbench.results.forecast import forecast
from faultbench.results.manifest_file import numbers_asked_before
from faultbench.runner.run_options import RunOptions
from faultbench.runner.tasks.shards import Shard
from tests.builders.campaign_texts import write_tiny
from tests.builders.results import ArtificialCampaign, a_trial, write_journal
from tests.builders.runs import finished
from tests.runner.test_campaign_runner import root, tables, trained  # noqa: F401 - fixtures

ONE_CELL = ("schemes=[relu]", "bers=[1e-5]")


def n_missing(folder: Path) -> list[int]:
    found = read_folder(folder)
    return [found.n_missing(entry.cell) for entry in found.manifest.cells]


@pytest.mark.parametrize("asked", [1, 10, 25, 40])
def test_missing_trials_are_counted_by_their_numbers(asked: int, tmp_path: Path) -> None:
    made = ArtificialCampaign(trials=asked, schemes=["relu"], bers=[1e-5])
    folder = made.write_manifest(tmp_path)
    recorded = [3, 4, 8, *range(20, 40)]
    write_journal(folder / "journal", "one", [a_trial(cell=made.cells[0]["cell"], trial=k) for k in recorded])
    assert n_missing(folder) == [len({*range(asked)} - {*recorded})]
    assert read_results(folder).cells.limited.tolist() == [n_missing(folder) != [0]]


@pytest.mark.slow
def test_trials_that_are_lowered_and_raised_again_end_as_those_of_one_run(root: Path, tmp_path: Path) -> None:  # noqa: F811
    first = RunOptions(shard=Shard(1, 2))
    folder = finished(root, *ONE_CELL, "trials=40", options=first)
    known = {number for _, number in read_folder(folder).journal.trials}
    finished(root, *ONE_CELL, "trials=25", options=first)
    assert n_missing(folder) == [25 - len(known & {*range(25)})] != [0]
    assert read_results(folder).cells.limited.all()
    finished(root, *ONE_CELL, "trials=25")
    assert n_missing(folder) == [0]
    assert {number for _, number in read_folder(folder).journal.trials} == known | {*range(25)}
    finished(root, *ONE_CELL, "trials=40")
    assert n_missing(folder) == [0]
    there = tables(folder)
    (tmp_path / "anew").mkdir()
    (folder / "artifacts").rename(tmp_path / "kept")
    (tmp_path / "anew" / "small").mkdir()
    (tmp_path / "kept").rename(tmp_path / "anew" / "small" / "artifacts")
    assert tables(finished(tmp_path / "anew", *ONE_CELL, "trials=40")) == there


@pytest.mark.slow
def test_raised_trials_are_those_of_a_run_that_always_asked_for_them_with_wider_intervals(
    root: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    shutil.copytree(root, tmp_path / "anew")
    finished(root, *ONE_CELL, "trials=25")
    raised, anew = (finished(place, *ONE_CELL, "trials=40") for place in (root, tmp_path / "anew"))
    assert tables(raised)["trials.csv"] == tables(anew)["trials.csv"]
    there, here = (read_results(folder).cells for folder in (raised, anew))
    assert (set(there.interval), set(here.interval)) == ({"betting-sequence"}, {"betting"})
    ends = [name for name in here if "_ci_" in name or name == "interval"]
    assert here.drop(columns=ends).equals(there.drop(columns=ends))
    assert (there.accuracy_ci_low < here.accuracy_ci_low).all()


@pytest.mark.slow
def test_a_number_that_is_raised_after_results_were_shown_says_so_and_a_lowered_one_does_not(root: Path) -> None:  # noqa: F811
    looks = ((20, [], "betting"), (10, [20], "betting"), (20, [20, 10], "betting"), (30, [20, 10], "betting-sequence"))
    for asked, before, kind in looks:
        folder = finished(root, *ONE_CELL, f"trials={asked}")
        manifest = read_folder(folder).manifest
        assert list(manifest.asked_before) == before
        assert manifest.rule.interval_kind == kind
        assert set(read_results(folder).cells.interval) == {kind}
    assert manifest.rule.n_raised == 2
    # Two looks before this one: look 3 may fail with 1/12 of 5 %.
    assert manifest.rule.confidence_per_look == pytest.approx(1 - 0.05 / 12)


def test_a_manifest_that_leaves_out_the_least_number_of_trials_has_the_default_one(tmp_path: Path) -> None:
    made = ArtificialCampaign(trials=60, until={"accuracy_halfwidth": 0.2})
    folder = made.write_manifest(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["spec"]["trials"].pop("min", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert numbers_asked_before(folder) == [30, 60]


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [[], [0.98] * 30, [0.98] * 27 + [0.1] * 3])
@pytest.mark.parametrize("until", [None, StoppingTarget(accuracy_halfwidth=1e-4)])
def test_what_many_trials_come_to_is_foretold_by_the_power_that_fewer_fall_by(
    recorded: list[float], until: StoppingTarget | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = StoppingRule(40_000, 30, until) if until else StoppingRule(40_000)
    foretold = forecast(rule, recorded).half_width
    for name in ("N_REPEATED", "N_STEPPED"):
        monkeypatch.setattr(f"faultbench.results.forecast.{name}", 40_000)
    monkeypatch.setattr("faultbench.results.forecast.N_ENOUGH", 11)  # what was foretold is kept by its arguments
    exact = forecast(rule, [*recorded, *recorded][: len(recorded) + 1] or [0.0] * 5).half_width
    assert foretold == pytest.approx(exact, rel=0.06)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


def most_memory(*arguments: str, cwd: Path) -> tuple[int, int]:
    """Exit code and most bytes of memory of a command that may take no more than 4 GiB of them."""
    limited = 4 * 2**30
    process = subprocess.Popen(
        [sys.executable, "-m", "faultbench", *arguments], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limited, limited)),
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss * 1024


MANY = ["trials=1000000000", "trials={max: 1000000000, min: 900000000, until: {accuracy_halfwidth: 0.01}}"]


@pytest.mark.slow
@pytest.mark.parametrize("trials", MANY)
@pytest.mark.parametrize("verb", ["plan --no-timing", "slurm"])
def test_a_billion_trials_are_planned_like_a_hundred(verb: str, trials: str, folder: Path) -> None:
    name, *options = verb.split()
    _, few = most_memory(name, "tiny.yaml", *options, cwd=folder)
    code, many = most_memory(name, "tiny.yaml", *options, "-s", trials, cwd=folder)
    assert code == 0
    assert many < few + 200 * 10**6


@pytest.mark.slow
@pytest.mark.parametrize("options", [["-s", MANY[0]], ["-s", MANY[1]], ["-s", MANY[0], "--shard", "3/2000"]])
def test_a_billion_trials_obey_the_time_limit(options: list[str], folder: Path) -> None:
    run = ["run", "tiny.yaml", "--engine", "serial", "--time-limit", "3s"]
    code, many = most_memory(*run, *options, cwd=folder)
    assert code == 75
    done = subprocess.run(
        [sys.executable, "-m", "faultbench", "status", "results"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, n_done, n_missing, _ = done.stdout.splitlines()[1].split("\t")
    wanted = 900_000_000 if "min" in options[1] else 10**9
    assert int(n_done) > 0
    assert int(n_done) + int(n_missing) == wanted
    _, few = most_memory("run", "tiny.yaml", "--engine", "serial", "-o", "few", cwd=folder)
    assert many < few + 200 * 10**6
