"""The command as a user meets it: exit codes, one clear line, nothing written on bad input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from faultbench.campaign import load_campaign
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.cli.verbs.plan import duration_text, size_text
from faultbench.results.forecast import forecast
from faultbench.results.manifest_file import write_manifest
from faultbench.system.errors import FaultbenchError
from tests.builders.campaign_texts import WEIGHTS
from tests.builders.command_line import faultbench
from tests.builders.results import a_golden, a_trial, write_journal

GOOD = """
name: tiny
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-8, 1e-6]
trials: 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    return tmp_path


BAD = {
    "unknown scheme": (GOOD.replace("clip_act", "clipact"), "did you mean 'clip_act'?"),
    "BER of 10": (GOOD.replace("1e-8", "10"), "10"),
    "BER of -1": (GOOD.replace("1e-8", "-1"), "-1"),
    "empty axis": (GOOD.replace("[relu, clip_act]", "[]"), "schemes"),
    "not YAML": ("name: [", "bad.yaml:1:"),
    "unreadable weights": (GOOD.replace("[digits_cnn]", "[{name: digits_cnn, weights: bad.yaml}]"), "weights"),
    "missing weights": (GOOD.replace("[digits_cnn]", "[{name: digits_cnn, weights: no.pt}]"), "no.pt"),
    "network for other images": (GOOD.replace("digits_cnn", "resnet20"), "takes 32×32 images; given 8×8"),
    "more images than there are": (GOOD + "images: 501", "500 test images"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_bad_campaign_gets_one_line_exit_code_2_and_writes_nothing(verb: str, case: str, folder: Path) -> None:
    text, message = BAD[case]
    (folder / "bad.yaml").write_text(text, encoding="utf-8")
    result = faultbench(verb, "bad.yaml", cwd=folder)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(("faultbench: ", "bad.yaml:"))
    assert message in line
    assert result.stdout == ""
    assert {path.name for path in folder.iterdir()} == {"good.yaml", "bad.yaml"}


@pytest.mark.parametrize("given", ["missing.yaml", "."])
def test_a_campaign_that_is_no_file_is_exit_code_2(given: str, folder: Path) -> None:
    result = faultbench("run", given, cwd=folder)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_campaign_runs_in_a_process_of_its_own_and_prints_its_table(folder: Path) -> None:
    weights = f"models=[{{name: digits_cnn, weights: {WEIGHTS}}}]"
    command = [sys.executable, "-m", "faultbench", "run", "good.yaml", "-s", "schemes=[relu]", "-s", weights]
    command += ["--workers", "1", "--allow-outside"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "| relu |" in result.stdout
    assert (folder / "results" / "tiny" / "tables" / "cells.csv").exists()
    other = faultbench("run", "good.yaml", "-s", weights, "-s", "seed=1", "--allow-outside", cwd=folder)
    assert other.returncode == 2
    assert "another campaign of this name: seed 0 there, 1 here" in other.stderr


def test_plan_counts_and_warns_where_a_cell_expects_less_than_one_flip(folder: Path) -> None:
    result = faultbench("plan", "good.yaml", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "4,267,328" in result.stdout  # 133,354 words of 32 bits
    assert "4,267,488" in result.stdout  # and one bound at each of 5 sites
    assert "8 of 8 trials missing" in result.stdout
    assert result.stdout.count("worst case") == 5  # four cells and what it means
    assert "95% betting interval of the mean accuracy expected" in result.stdout
    assert "warning: 2 cells expect less than one flip per trial (BER 1e-8)" in result.stderr
    # 1 - exp(-4,267,328 · 1e-8) = 0.0418, and with the bounds too.
    assert "sampling: stratified would leave out the memories without a flip" in result.stdout
    assert "in 2 cells would be 0.042 times as wide, or less" in result.stdout
    durations = r": training \d.*, fitting \d.*, golden runs \d.*, trials \d.*; \d.* together\. Disk"
    assert re.search(durations, result.stdout)
    assert "Disk: about 536 kB" in result.stdout  # 8 trials of 350 bytes, 133,354 parameters and 5 bounds of 4
    assert not (folder / "results").exists()


def test_plan_without_timing_needs_no_torch_and_takes_bits_from_golden_runs(folder: Path) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'pandas', 'scipy'))); "
        "sys.argv = ['faultbench', 'plan', 'good.yaml', '--no-timing']; from faultbench.cli.main import main; main()"
    )
    first, *_ = (cell.subject for cell in load_campaign(folder / "good.yaml").cells)
    write_journal(folder / "results" / "tiny" / "journal", "one", [a_golden(subject=first.key, n_bits=12_345)])
    write_manifest(
        folder / "results" / "tiny", load_campaign(folder / "good.yaml"), command=[], execution={}, data={}, findings={}
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("relu ", "clip_act "))]
    assert done.stdout.splitlines()[0].strip() == "tiny: digits, digits_cnn, q15.16, bernoulli"
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    assert [row[1] for row in rows] == ["12,345", "12,345", "?", "?"]
    assert [row[3] for row in rows] == [f"{12345 * 1e-8:.3g}", f"{12345 * 1e-6:.3g}", "?", "?"]
    assert "? where there is none" in done.stdout


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 m 0 s"), (3599.7, "1 h 0 m"),
     (12_000, "3 h 20 m"), (450_000, "5 d 5 h")],
)  # fmt: skip
def test_durations_are_printed_with_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(999, "999 bytes"), (1000, "1 kB"), (535_436, "535 kB"), (2_340_000_000, "2.34 GB")]
)
def test_sizes_are_printed_with_three_digits(n_bytes: int, text: str) -> None:
    assert size_text(n_bytes) == text


def test_plan_forecasts_from_recorded_trials_and_counts_to_the_next_look(folder: Path) -> None:
    path = folder / "good.yaml"
    until = "trials={max: 100, min: 12, until: {accuracy_halfwidth: 0.1}}"
    (cell, *_) = load_campaign(path, [until]).cells
    known = [a_trial(cell=cell.key, trial=number, n_correct=190) for number in range(15)]
    write_journal(folder / "results" / "tiny" / "journal", "one", known)
    write_manifest(folder / "results" / "tiny", load_campaign(path), command=[], execution={}, data={}, findings={})
    result = faultbench("plan", "good.yaml", "-s", until, cwd=folder)
    assert result.returncode == 0, result.stderr
    first = next(line for line in result.stdout.splitlines() if line.startswith("relu "))
    expected = forecast(StoppingRule.read({"max": 100, "min": 12, "until": {"accuracy_halfwidth": 0.1}}), [0.95] * 15)
    fields = re.split(r"\s{2,}", first.strip())
    assert fields[5:7] == ["15", "3"]  # looks come after 12, 18, 27, …
    assert fields[7:-1] == [
        f"{expected.n_trials}",
        f"±{100 * expected.half_width:.1f}",
        "15 trials",
        f"+{expected.n_more}",
    ]
    assert (
        "39 trials missing before the next look at cells wider than ±0.1; at most 100 trials per cell" in result.stdout
    )


def test_an_unknown_verb_is_exit_code_2(folder: Path) -> None:
    result = faultbench("rnu", cwd=folder)
    assert result.returncode == 2
    assert "unknown command 'rnu'; did you mean 'run'?" in result.stderr


@pytest.mark.parametrize("arguments", [["export"], ["run", "good.yaml", "--workers", "0"], ["plan", "--nonsense"]])
def test_a_wrong_option_is_one_line_that_says_where_help_is(arguments: list[str], folder: Path) -> None:
    result = faultbench(*arguments, cwd=folder)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"faultbench {arguments[0]}: ")
    assert line.endswith(f"see `faultbench {arguments[0]} --help`")


def test_debug_shows_the_traceback_and_nothing_else_does(folder: Path) -> None:
    assert "Traceback" not in faultbench("validate", "missing.yaml", cwd=folder).stderr
    assert "Traceback" in faultbench("validate", "missing.yaml", "--debug", cwd=folder).stderr


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "good.yaml"], ["list", "schemes"], ["schema"]])
def test_light_verbs_import_nothing_heavy(arguments: list[str], folder: Path) -> None:
    code = (
        "import sys; from faultbench.cli.main import _exit_code; "
        f"code = _exit_code({arguments!r}, debug=False); "
        "sys.exit(code or bool({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_verb_explains_itself(folder: Path) -> None:
    verbs = faultbench("--help", cwd=folder).stdout.partition("Run campaigns:")[2].split("\n")
    names = [line.split()[0] for line in verbs if line.startswith("  ") and line[2] != " "]
    assert {"run", "plan", "validate", "schema", "list", "export", "plot", "status"} <= set(names)
    for name in names:
        assert f"faultbench {name}" in faultbench(name, "--help", cwd=folder).stdout


def test_what_ends_a_command_is_an_event_too_where_events_are_asked_for(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "faultbench", "run", "nowhere.yaml", "--progress", "json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    event, plain = done.stderr.splitlines()
    assert plain == "nowhere.yaml: no such file; give the path of a campaign file"
    said = json.loads(event)
    assert (said["event"], said["sort"], said["exit_code"]) == ("said", "error", 2)
    assert done.returncode == 2
    assert said["message"] == plain


WRONG_NUMBERS = {
    ("run", "good.yaml", "--memory", "99999999T"): "--memory: '99999999T' is more than any machine has; give at most",
    ("run", "good.yaml", "--memory", "9" * 400): "is more than any machine has",
    ("run", "good.yaml", "--workers", "9" * 20): "is not in the range 1<=x<=4096",
    ("run", "good.yaml", "--limit", "9" * 20): "is not in the range 1<=x<=1000000000",
    ("slurm", "good.yaml", "--hours", "nan"): "'nan' is no number",
    ("slurm", "good.yaml", "--cpus", "9" * 20): "is not in the range 1<=x<=4096",
    ("replay", "results/tiny", "relu", "0", "--points-lost", "nan"): "'nan' is no number",
    ("replay", "results/tiny", "relu", "0", "--campaign", "none.yaml"): "File 'none.yaml' does not exist",
    ("replay", "results/tiny", "relu", "0", "--campaign", "."): "File '.' is a directory",
    ("list",): "Choose from: datasets, models",
}


@pytest.mark.parametrize("arguments", WRONG_NUMBERS, ids=" ".join)
def test_an_option_that_cannot_be_meant_is_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], folder: Path
) -> None:
    result = faultbench(*arguments, cwd=folder)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert WRONG_NUMBERS[arguments] in line
    assert [path.name for path in folder.iterdir()] == ["good.yaml"]


def test_a_manifest_that_could_not_be_read_again_is_not_written(folder: Path) -> None:
    campaign = load_campaign(folder / "good.yaml")
    with pytest.raises(FaultbenchError, match=r"cannot be recorded: a whole number of more than 63 bits"):
        write_manifest(folder, campaign, command=[], execution={"width": 2**63}, data={}, findings={})
    assert not (folder / "manifest.json").exists()
