"""What the gate says of a run: each kind of change by its name, and pairs tested where something may have changed."""

from typing import Any

import pytest

from faultbench.gate.baseline import Baseline
from faultbench.gate.judgement import Judgement
from faultbench.gate.snapshot import Snapshot
from faultbench.gate.verdicts import Verdict, judge_cells
from faultbench.results.stats import holm, margin_test
from tests.builders.baselines import a_baseline, a_cell, a_run

GOOD, BAD = (90,) * 20, (30,) * 20


def only(then: Baseline, run: Snapshot, margin: float = 0.005) -> Verdict:
    (verdict,) = judge_cells(then, run, margin)
    return verdict


def exit_code(*verdicts: Verdict, is_strict: bool = False) -> int:
    return Judgement("made", None, verdicts, [], [], is_strict).exit_code


def test_a_run_like_its_baseline_is_identical():
    verdict = only(a_baseline(), a_run())
    assert (verdict.state, verdict.reason, verdict.n_pairs, verdict.then, verdict.now) == (
        "identical",
        "",
        20,
        0.9,
        0.9,
    )
    assert exit_code(verdict) == 0


CHANGED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "one outcome": ({"n_correct": (*GOOD[:-1], 89)}, {}, "numerics: same flips and weights, but 1 of 20 trials come"),
    "golden run": (
        {"golden": {"n_correct": 97}},
        {},
        "numerics: same flips and weights, but another golden",
    ),
    "golden classes": ({"golden": {"top1_digest": "ef"}}, {}, "classes ee, now ef"),
    "flips": ({"flips": "ab13"}, {}, "injector: 20 of 20 trials meet other flips although"),
    "flips and definition": ({"flips": "ab13", "definition": "e" * 32}, {}, "campaign file: the cell is defined other"),
    "flips and space": (
        {"flips": "ab13", "golden": {"n_bits": 1001}},
        {},
        "fault space: 1,000 bits, now 1,001",
    ),
    "images": ({}, {"images": {"digits": "ab"}}, "data: the test images of digits are others"),
    "images per trial": ({"golden": {"n_images": 120}}, {}, "campaign file: trials looked at 100 images, now at 120"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_change_that_nobody_declared_fails_and_is_named(case: str):
    cell, surroundings, reason = CHANGED[case]
    verdict = only(a_baseline(), a_run(a_cell(**cell), **surroundings))
    assert verdict.state == "changed"
    assert reason in verdict.reason
    assert exit_code(verdict) == 1


@pytest.mark.parametrize(
    ("cell", "surroundings", "cause"),
    [
        ({}, {"weights": {"digits/digits_cnn/q15.16": "cc"}}, "other weights"),
        ({"definition": "e" * 32}, {}, "other definition"),
        ({}, {"environment": {"torch": "2.1", "processor": "abacus"}}, "other environment"),
        ({"definition": "e" * 32}, {"environment": {"torch": "2.1"}}, "other definition and environment"),
    ],
)
def test_pairs_are_tested_where_weights_definition_or_environment_changed(
    cell: dict[str, Any], surroundings: dict[str, Any], cause: str
):
    worse = only(a_baseline(), a_run(a_cell(BAD, **cell), **surroundings))
    assert (worse.state, worse.then, worse.now) == ("regression", 0.9, pytest.approx(0.3))
    assert worse.reason == f"{cause}: drops by more than 0.5 pp"
    assert worse.interval is not None
    assert worse.interval.low <= -0.6 <= worse.interval.high < 0
    assert exit_code(worse) == 1
    alike = only(a_baseline(), a_run(a_cell((*GOOD[:-1], 89), **cell), **surroundings))
    assert alike.state == "undecided"
    assert alike.reason.startswith(f"{cause}: to tell a drop of 0.5 pp takes about ")
    assert (exit_code(alike), exit_code(alike, is_strict=True)) == (0, 1)


def test_equal_outcomes_elsewhere_are_identical_but_not_with_other_weights():
    elsewhere = a_run(environment={"torch": "3"})
    assert only(a_baseline(), elsewhere).state == "identical"
    assert only(a_baseline(), a_run(weights={"digits/digits_cnn/q15.16": "cc"})).state == "undecided"


def test_a_drop_within_a_wide_margin_is_kept():
    run = a_run(a_cell((89,) * 20), weights={})
    verdict = only(a_baseline(), run, margin=0.3)
    assert (verdict.state, verdict.reason) == ("kept", "other weights: drops by less than 30 pp")
    assert exit_code(verdict, is_strict=True) == 0


def test_an_improvement_is_no_regression():
    assert only(a_baseline(a_cell(BAD)), a_run(a_cell(GOOD), weights={})).state == "kept"


def test_holm_corrects_for_all_tested_cells_and_no_others():
    bers = [1e-6 * n for n in range(1, 9)]
    then = a_baseline(*(a_cell(GOOD, ber=ber) for ber in bers))
    outcomes = [(80,) * 20, *[(89,) * 20] * 6, GOOD]
    now = a_run(*(a_cell(outcome, ber=ber) for outcome, ber in zip(outcomes, bers, strict=True)), environment={})
    verdicts = judge_cells(then, now, 0.0)
    tested = [margin_test([0.9] * 20, [outcome[0] / 100] * 20, 0.0).p_within for outcome in outcomes[:7]]
    assert [verdict.p for verdict in verdicts] == [*holm(tested), None]
    assert tested[0] < 0.2 < verdicts[0].p


def test_only_trials_that_both_have_are_compared_and_that_is_said():
    fewer = only(a_baseline(), a_run(a_cell(GOOD[:5])))
    assert (fewer.state, fewer.n_pairs, fewer.reason) == ("identical", 5, "5 of the baseline's 20 trials")
    assert only(a_baseline(a_cell(GOOD[:5])), a_run()).reason == ""


def test_a_cell_that_either_side_lacks_fails():
    then, now = a_baseline(a_cell(), a_cell(scheme="gone")), a_run(a_cell(), a_cell(scheme="new"))
    gone, new, both = judge_cells(then, now, 0.005)
    assert gone.reason == "campaign file: the cell is not in the campaign any more"
    assert new.reason == "campaign file: the cell is not in the baseline"
    assert both.state == "identical"
    assert exit_code(gone, both) == exit_code(new) == 1


def test_an_unfinished_cell_is_no_pass():
    name = a_cell().cell_name
    verdict = only(a_baseline(), Snapshot(None, {name: "2 trials quarantined"}))
    assert (verdict.state, verdict.reason) == ("unfinished", "not finished: 2 trials quarantined")
    assert exit_code(verdict) == 3
    assert exit_code(verdict, only(a_baseline(), a_run(a_cell(flips="0")))) == 1


def test_a_small_loss_of_all_pairs_is_a_regression_if_no_memory_can_gain_much():
    then, now = a_baseline(a_cell((90,) * 40)), a_run(a_cell((87,) * 40), weights={})
    assert judge_cells(then, now, 0.0)[0].state == "undecided"
    (shown,) = judge_cells(then, now, 0.0, max_gain=0.1)
    assert shown.state == "regression"
    assert shown.interval is not None
    assert shown.interval.high < 0


def test_a_memory_that_gains_more_than_was_assumed_takes_the_assumption_away():
    then, now = a_baseline(a_cell((70,) * 40)), a_run(a_cell((*[67] * 39, 90)), weights={})
    (verdict,) = judge_cells(then, now, 0.0, max_gain=0.1)
    assert verdict.state == "undecided"
    assert "a memory gains 20.0 pp, so --max-gain does not hold and was not used" in verdict.reason
    assert verdict.p == judge_cells(then, now, 0.0)[0].p


def test_adaptive_trials_are_tested_by_bets_that_know_no_number():
    rule = {"max": 100, "min": 5, "until": {"accuracy_halfwidth": 0.1}}
    then, now = a_baseline(trials=rule), a_run(a_cell((70,) * 20), environment={}, trials=rule)
    assert only(then, now, 0.0).p == margin_test([0.9] * 20, [0.7] * 20, 0.0, anytime=True).p_within
    assert only(then, now, 0.0).p != margin_test([0.9] * 20, [0.7] * 20, 0.0).p_within


ELSE = {"weights": {"digits/digits_cnn/q15.16": "cc"}}


@pytest.mark.parametrize(("n_correct", "margin"), [(90, 0.05), (92, 0.05), (97, 0.005), (0, 0.97)])
def test_a_golden_accuracy_that_drops_by_more_than_the_margin_is_a_regression(n_correct: int, margin: float):
    """However few pairs there are: the golden run has no randomness."""
    few = (min(90, n_correct),)
    verdict = only(a_baseline(a_cell(few)), a_run(a_cell(few, golden={"n_correct": n_correct}), **ELSE), margin)
    words = f"other weights: golden accuracy drops from 98.00 to {n_correct:.2f} %, by more than {100 * margin:g} pp"
    assert (verdict.state, verdict.reason, verdict.p) == ("regression", words, None)
    assert exit_code(verdict) == 1


@pytest.mark.parametrize(("n_correct", "margin"), [(98, 0.0), (93, 0.05), (91, 0.07), (84, 0.14), (99, 0.0)])
def test_a_golden_accuracy_that_drops_by_the_margin_is_none(n_correct: int, margin: float):
    same = (80,) * 5
    verdict = only(a_baseline(a_cell(same)), a_run(a_cell(same, golden={"n_correct": n_correct}), **ELSE), margin)
    assert verdict.state in ("undecided", "kept")
