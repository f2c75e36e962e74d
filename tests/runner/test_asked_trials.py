"""Results are of the trials that a campaign asks for, whatever it asked for before; those beyond stay recorded."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from faultbench.cli.verbs.status import command as status
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import ResultsFolder, read_folder
from faultbench.results.journal.records import Quarantine, Trial
from faultbench.results.missing_trials import trials_wanted
from faultbench.runner.replay.selection import find_trial
from tests.builders.results import ArtificialCampaign, write_journal
from tests.builders.runs import finished
from tests.runner.test_campaign_runner import root, tables, trained  # noqa: F401 - fixtures

ONCE = ArtificialCampaign(trials=60, schemes=("relu",), bers=(1e-6, 1e-4))

WIDE = {"accuracy_halfwidth": 0.2, "confidence": 0.9}

RULES: dict[str, dict[str, Any]] = {
    "fewer": {"trials": 40},
    "one": {"trials": 1},
    "as many": {"trials": 60},
    "until": {"trials": 60, "until": WIDE},
    "until, at most fewer": {"trials": 40, "until": WIDE},
    "until, and never certain": {"trials": 40, "until": {"accuracy_halfwidth": 0.001}},
}


def asked(rule: dict[str, Any]) -> ArtificialCampaign:
    """The campaign with another rule for its trials."""
    return ArtificialCampaign(schemes=ONCE.schemes, bers=ONCE.bers, **rule)


def recorded_by_now(made: ArtificialCampaign, place: Path) -> ResultsFolder:
    """A folder in which the first rule's trials are all recorded, and whose campaign has another now."""
    write_journal(made.write_manifest(place) / "journal", "made", ONCE.records)
    return read_folder(place / made.name)


def run_anew(made: ArtificialCampaign, place: Path) -> ResultsFolder:
    """A folder in which no trial was recorded but those that a run of this campaign hands out, look by look."""
    folder = made.write_manifest(place)
    rule = read_folder(folder).manifest.rule
    trials = [record for record in ONCE.records if isinstance(record, Trial)]
    kept = [record for record in ONCE.records if not isinstance(record, Trial)]
    for cell in made.cells:
        own, n_run = [trial for trial in trials if trial.cell == cell["cell"]], 0
        while (n_wanted := trials_wanted(rule, own[:n_run]) if rule.until else rule.n_max) > n_run:
            n_run = n_wanted
        kept += own[:n_run]
    write_journal(folder / "journal", "made", kept)
    return read_folder(folder)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_tables_are_those_of_a_campaign_that_never_asked_for_more(rule: dict[str, Any], tmp_path: Path) -> None:
    now, anew = recorded_by_now(asked(rule), tmp_path / "now"), run_anew(asked(rule), tmp_path / "anew")
    assert tables(now.path) == tables(anew.path)
    assert [len(trials) for trials in now.trials.values()] == [len(trials) for trials in anew.trials.values()]
    n_left_out = sum(map(len, now.recorded.values())) - sum(map(len, now.trials.values()))
    remark = f"{now.path}: {n_left_out:,} trials left out, beyond those that the campaign asks for"
    assert list(read_results(now.path).remarks) == ([remark] if n_left_out else [])
    assert n_left_out == 120 - sum(map(len, anew.trials.values()))


def test_the_rules_tried_leave_cells_out_at_looks_and_at_the_end(tmp_path: Path) -> None:
    counts = {
        name: [*map(len, recorded_by_now(asked(rule), tmp_path / name).trials.values())] for name, rule in RULES.items()
    }
    assert counts["fewer"] == counts["until, and never certain"] == [40, 40]
    assert counts["until"][0] < counts["until"][1] < 60
    assert (counts["one"], counts["as many"]) == ([1, 1], [60, 60])


def test_status_counts_no_more_trials_than_are_asked_for(tmp_path: Path) -> None:
    folder = recorded_by_now(asked({"trials": 40}), tmp_path)
    found = CliRunner().invoke(status, [str(folder.path)])
    assert [line.split("\t")[-3:] for line in found.stdout.splitlines()[1:]] == [["40", "0", "0"]] * 2
    first, second = found.stderr.splitlines()
    assert first.endswith("80 trials done, 0 missing")
    assert second.endswith("40 trials left out, beyond those that the campaign asks for")


def test_a_cell_that_lacks_a_trial_of_a_look_keeps_what_there_is(tmp_path: Path) -> None:
    """A journal that lost a line is no reason to leave out what was recorded behind it."""
    made = asked(RULES["until"])
    whole = run_anew(made, tmp_path / "whole")
    trials = [record for record in whole.journal.trials.values() if record.trial != 2]
    goldens = [*whole.journal.goldens.values()]
    write_journal(made.write_manifest(tmp_path / "holed") / "journal", "made", [*goldens, *trials])
    holed = read_folder(tmp_path / "holed" / made.name)
    assert [*map(len, holed.trials.values())] == [len(trials) - 1 for trials in whole.trials.values()]
    assert [holed.n_missing(cell["cell"]) for cell in made.cells] == [1, 1]


def test_a_quarantined_trial_beyond_the_last_look_makes_no_cell_limited(tmp_path: Path) -> None:
    made = asked(RULES["until"])
    folder = run_anew(made, tmp_path)
    given_up = Quarantine(cell=made.cells[0]["cell"], trial=59, n_deaths=3, reason="it was killed")
    write_journal(folder.path / "journal", "other", [given_up])
    assert not read_results(folder.path).cells.limited.any()
    assert read_folder(folder.path).quarantined_names == []


def test_a_trial_beyond_can_be_replayed(tmp_path: Path) -> None:
    folder = recorded_by_now(asked({"trials": 40}), tmp_path)
    assert find_trial(folder, folder.manifest.cells[0], 59).trial == 59


ONE_CELL = ("schemes=[relu]", "bers=[1e-5]")


@pytest.mark.slow
@pytest.mark.parametrize("fewer", ["trials=6", "trials={max: 20, min: 5, until: {accuracy_halfwidth: 0.3}}"])
def test_a_run_that_asks_for_fewer_ends_with_the_tables_of_a_run_anew(
    fewer: str, root: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    anew = tmp_path / "anew"
    shutil.copytree(root, anew)
    more = tables(finished(root, *ONE_CELL, "trials=20"))
    folder = finished(root, *ONE_CELL, fewer)
    assert tables(folder) == tables(finished(anew, *ONE_CELL, fewer)) != more
    assert len(read_folder(folder).journal.trials) == 20
    assert tables(finished(root, *ONE_CELL, "trials=20")) == more
