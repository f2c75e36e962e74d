"""Schemes and campaigns compared trial by trial, as functions and as a user meets `faultbench compare`."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from faultbench.results.analysis.comparison import compare_folders, compare_schemes
from faultbench.results.folder import ResultsFolder, read_folder
from faultbench.results.stats import mean_difference
from faultbench.system.errors import FaultbenchError
from tests.builders.command_line import faultbench
from tests.builders.results import ArtificialCampaign, a_trial, write_journal
from tests.cli.test_cli_reading import without

TWO = ArtificialCampaign(schemes=["relu", "clip_act"], bers=[1e-6, 1e-5], trials=40)


def recorded(
    root: Path, made: ArtificialCampaign, n_correct: Mapping[tuple[str, float], Mapping[int, int]]
) -> ResultsFolder:
    """A results folder with the n_correct of 200 of trials given by scheme, BER and number."""
    folder = made.write_manifest(root)
    cells = {(cell["scheme"], cell["ber"]): cell["cell"] for cell in made.cells}
    trials = [
        a_trial(cell=cells[cell], trial=number, n_correct=right)
        for cell, outcomes in n_correct.items()
        for number, right in outcomes.items()
    ]
    write_journal(folder / "journal", "one", trials)
    return read_folder(folder)


def with_spec(folder: Path, **changes: object) -> ResultsFolder:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"].update(changes)
    path.write_text(json.dumps(manifest))
    return read_folder(folder)


def numbered(*right: int) -> dict[int, int]:
    return dict(enumerate(right))


def test_trials_are_paired_by_number_and_those_without_a_partner_left_out(tmp_path: Path):
    relu = {0: 100, 1: 150, 5: 20, 7: 180}
    clip = {1: 160, 5: 190, 7: 180, 9: 3}
    folder = recorded(tmp_path, TWO, {("relu", 1e-6): relu, ("clip_act", 1e-6): clip})
    (pair,) = compare_schemes(folder, "relu", "clip_act")
    found = mean_difference([0.75, 0.1, 0.9], [0.8, 0.95, 0.9])
    assert (pair.trials, pair.accuracy_first, pair.accuracy_second) == (
        3,
        pytest.approx(1.75 / 3),
        pytest.approx(2.65 / 3),
    )
    assert pair.difference == pytest.approx(0.9 / 3)
    assert (pair.difference_ci_low, pair.difference_ci_high) == (found.interval.low, found.interval.high)
    assert (pair.p, pair.p_holm, pair.variance_ratio) == (found.p, found.p, found.variance_ratio)
    assert (pair.first, pair.second, pair.scheme, pair.ber) == ("relu", "clip_act", "", 1e-6)


def test_p_values_are_corrected_for_all_rows_together(tmp_path: Path):
    low, high = {"relu": numbered(*[20] * 40), "clip_act": numbered(*[190] * 40)}, numbered(*[100] * 40)
    cells = {("relu", 1e-6): low["relu"], ("clip_act", 1e-6): low["clip_act"]}
    cells |= {("relu", 1e-5): high, ("clip_act", 1e-5): high}
    clear, equal = compare_schemes(recorded(tmp_path, TWO, cells), "relu", "clip_act")
    assert clear.p_holm == pytest.approx(2 * clear.p)
    assert (equal.p, equal.p_holm) == (1, 1)
    assert math.isnan(equal.variance_ratio)


def test_campaigns_are_compared_in_the_cells_that_both_have(tmp_path: Path):
    first = read_folder(ArtificialCampaign(schemes=["relu", "ranger"], trials=6).write(tmp_path / "a"))
    second = read_folder(ArtificialCampaign(schemes=["relu", "fitact"], trials=4).write(tmp_path / "b"))
    pairs = compare_folders(first, second)
    assert [(pair.scheme, pair.guard, pair.ber, pair.trials) for pair in pairs] == [
        ("relu", "none", ber, 4) for ber in (1e-6, 1e-5, 1e-4)
    ]


def test_a_guarded_scheme_is_named_with_its_guard(tmp_path: Path):
    folder = read_folder(ArtificialCampaign(schemes=["relu"], guards=["none", "secded"]).write(tmp_path))
    assert len(compare_schemes(folder, "relu", "relu + secded")) == 3


def test_where_outcomes_ended_the_trials_the_interval_is_of_a_sequence(tmp_path: Path):
    made = ArtificialCampaign(trials=40, until={"accuracy_halfwidth": 0.4, "confidence": 0.99})
    (pair, *_) = compare_schemes(read_folder(made.write(tmp_path / "a")), "relu", "clip_act")
    (fixed, *_) = compare_schemes(read_folder(ArtificialCampaign(trials=40).write(tmp_path / "b")), "relu", "clip_act")
    assert (pair.interval, pair.confidence) == ("betting-sequence", 0.99)
    assert (fixed.interval, fixed.confidence) == ("betting", 0.95)
    assert pair.difference_ci_low < fixed.difference_ci_low <= fixed.difference_ci_high < pair.difference_ci_high


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 2}, "seed 1 in the first, 2 in the second"),
        ({"images": 100}, "images all in the first, 100 in the second"),
        ({"faults": [{"name": "bernoulli", "label": "bernoulli", "bits": [31]}]}, "faults {'name': 'bernoulli'"),
    ],
)
def test_campaigns_whose_trials_met_other_flips_are_refused(tmp_path: Path, changes: dict[str, object], told: str):
    shared = {"seed": 1, "images": "all", "faults": [{"name": "bernoulli", "label": "bernoulli", "bits": None}]}
    first = with_spec(ArtificialCampaign().write(tmp_path / "a"), **shared)
    second = with_spec(ArtificialCampaign().write(tmp_path / "b"), **{**shared, **changes})
    with pytest.raises(FaultbenchError, match="do not pair") as refused:
        compare_folders(first, second)
    assert told in str(refused.value)


def test_trials_over_other_images_are_no_pairs(tmp_path: Path):
    folder = recorded(tmp_path, TWO, {("relu", 1e-6): numbered(20)})
    other = a_trial(cell=TWO.cells[2]["cell"], trial=0, n_images=100, n_masked=80, n_correct=80)
    write_journal(folder.path / "journal", "two", [other])
    with pytest.raises(FaultbenchError, match="100 images in one and 200 in the other"):
        compare_schemes(read_folder(folder.path), "relu", "clip_act")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["made", "relu", "clipact"], "unknown scheme 'clipact'; did you mean 'clip_act'? (known: relu, clip_act)"),
        (["made", "elsewhere"], "elsewhere: does not exist; a results folder holds"),
        (["made", "other"], "no common cells; compared are cells of one data set"),
        (["made", "empty"], "no trials of the same number in any common cell"),
        (["made"], "Missing argument"),
        (["made", "relu", "clip_act", "fitact"], "two results folders, or one and two schemes"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(tmp_path: Path, arguments: Sequence[str], told: str):
    ArtificialCampaign().write(tmp_path)
    ArtificialCampaign(name="other", models=["alexnet"]).write(tmp_path)
    ArtificialCampaign(name="empty").write_manifest(tmp_path)
    places = [tmp_path / name if (tmp_path / name).exists() else name for name in arguments]
    done = faultbench("compare", *places, "--output", tmp_path / "out.csv")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert told in line
    assert not (tmp_path / "out.csv").exists()


def test_compare_prints_a_table_and_writes_the_csv_without_torch_and_pandas(tmp_path: Path):
    folder = ArtificialCampaign(trials=30).write(tmp_path)
    done = without(("pandas", "scipy"), "compare", folder, "relu", "clip_act", "--output", tmp_path / "out.csv")
    assert (done.returncode, done.stderr) == (0, "")
    pairs = compare_schemes(read_folder(folder), "relu", "clip_act")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["difference"]) for row in rows] == [pair.difference for pair in pairs]
    assert [float(row["p_holm"]) for row in rows] == [pair.p_holm for pair in pairs]
    assert "clip_act against relu" in done.stdout
    assert "95% betting interval, over pairs of trials" in done.stdout
    for pair in pairs:
        assert f"{100 * pair.difference:+.1f}" in done.stdout
