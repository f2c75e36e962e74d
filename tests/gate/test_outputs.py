"""The gate's table, JUnit XML and what GitHub reads: everything that fails is in all of them, and labels stay text."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from faultbench.gate.github import add_summary, annotations
from faultbench.gate.judgement import Judgement
from faultbench.gate.junit import write_junit
from faultbench.gate.limits import limit_verdicts, read_limit
from faultbench.gate.text import markdown_text, table_text
from faultbench.gate.verdicts import judge_cells
from tests.builders.baselines import a_baseline, a_cell, a_run

NASTY = "100%::error::<b>|`]"
CONTROL = "A note\n::error::of\x1b."


@pytest.fixture
def judgement() -> Judgement:
    """One cell identical, one undecided, one worse, one injected otherwise, and a limit kept and one broken."""
    bers = (1e-6, 2e-6, 3e-6, 4e-6)
    then = a_baseline(*(a_cell(ber=ber, scheme=NASTY) for ber in bers))
    outcomes = ((90,) * 20, (89,) * 20, (10,) * 20, (90,) * 20)
    cells = [a_cell(one, ber=ber, scheme=NASTY) for one, ber in zip(outcomes, bers, strict=True)]
    cells[3] = a_cell(ber=4e-6, scheme=NASTY, flips="99")
    verdicts = judge_cells(then, a_run(*cells, environment={}), 0.005)
    names = ("dataset", "model", "scheme", "guard", "format", "fault", "ber")
    rows = [
        {**dict(zip(names, cell.cell_name, strict=True)), "accuracy_mean": 0.9 - cell.ber * 1e5} for cell in cells[:2]
    ]
    limit = read_limit("accuracy_mean < 0.75 @ dataset=digits", [cell.cell_name for cell in cells])
    return Judgement("made", Path("base.json"), verdicts, limit_verdicts([limit], rows), [CONTROL])


def test_the_table_has_a_row_a_cell_and_ends_with_the_verdict(judgement: Judgement):
    text = table_text(judgement)
    for state in ("identical", "UNDECIDED", "REGRESSION", "CHANGED", "BROKEN", "kept"):
        assert state in text, state
    last = text.splitlines()[-1]
    counts = "1 identical, 1 undecided, 1 regression, 1 changed, 1 limit kept, 1 limit broken"
    assert last == f"check of made against base.json: FAILED: {counts}"


def test_limits_are_counted_as_people_count(judgement: Judgement):
    twice = replace(judgement, verdicts=[], limits=[*judgement.limits, *judgement.limits])
    assert twice.summary.endswith("FAILED: 2 limits kept, 2 limits broken")


def test_undecided_cells_are_loud_where_nothing_fails():
    verdicts = judge_cells(a_baseline(), a_run(weights={}), 0.005)
    text = table_text(Judgement("made", Path("base.json"), verdicts, [], []))
    takes = f"about {verdicts[0].n_needed:,} trials"
    assert text.endswith(f"passed: 1 undecided; NOT PROVEN for 1 UNDECIDED: that takes {takes} (--strict fails them)\n")
    never = [replace(verdicts[0], n_needed=None), verdicts[0]]
    summary = Judgement("made", Path("base.json"), never, [], []).summary
    assert summary.endswith("NOT PROVEN for 2 UNDECIDED: that takes more than 20,000 trials (--strict fails them)")


def test_junit_has_a_case_for_each_finding_with_counts_that_add_up(judgement: Judgement, tmp_path: Path):
    write_junit(judgement, tmp_path / "junit.xml")
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    (suite,) = root.findall("testsuite")
    cases = suite.findall("testcase")
    assert len(cases) == len(judgement.findings) == 6
    for holder in (root, suite):
        assert [holder.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["6", "3", "0", "1"]
    assert len(suite.findall("testcase/failure")) == 3
    assert len(suite.findall("testcase/skipped")) == 1
    assert {case.get("classname") for case in cases} == {"faultbench.made.cell", "faultbench.made.limit"}
    assert all(case.get("name") and case.get("time") for case in cases)
    assert "\x1b" not in (tmp_path / "junit.xml").read_text(encoding="utf-8")


def test_annotations_are_one_line_each_and_only_on_github(judgement: Judgement, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert annotations(judgement) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = annotations(judgement)
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::error", "::error"]
    limit = replace(judgement.limits[1].limit, text="a\r\n::b")
    broken = Judgement("made", None, [], [replace(judgement.limits[1], limit=limit)], [])
    (line,) = annotations(broken)
    assert "a%0D%0A::b in" in line
    assert all(len(line.splitlines()) == 1 and "100%25::error::" in line for line in lines)


def test_the_summary_is_appended_as_markdown_that_labels_do_not_break(
    judgement: Judgement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    add_summary(judgement)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n### faultbench check: made\n")
    assert "<b>" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    columns = [len(line.replace("\\\\", "").replace("\\|", "").split("|")) - 2 for line in rows]
    assert columns == [9] * 6 + [4] * 4
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    add_summary(judgement)
    assert path.read_text(encoding="utf-8") == text
    assert "A note" in markdown_text(judgement)
