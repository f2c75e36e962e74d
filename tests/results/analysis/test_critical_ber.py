import math
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.collections import PathCollection

from faultbench.output.plots import accuracy
from faultbench.output.plots.style import styled
from faultbench.results.analysis.critical_ber import DROPS, PROBABILITIES, critical_bers
from faultbench.results.analysis.results import Results, read_results
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, write_journal

BERS = (1e-6, 1e-5, 1e-4)
MADE = ArtificialCampaign(schemes=["relu"], bers=BERS)
HELD, FAILED = 196, 100
"""Of 200 images; the golden run has 196 right."""


def recorded(root: Path, curves: list[tuple[int, ...]], made: ArtificialCampaign = MADE, **golden: int) -> Results:
    """Results of relu, given the n_correct at each BER of trial 0, 1, …; None is not recorded."""
    made = replace(made, trials=max(made.trials, len(curves)))
    cells = {cell["ber"]: cell["cell"] for cell in made.cells}
    folder = made.write_manifest(root)
    trials = [
        a_trial(cell=cells[ber], trial=number, n_correct=right)
        for number, curve in enumerate(curves)
        for ber, right in zip(made.bers, curve, strict=True)
        if right is not None
    ]
    write_journal(folder / "journal", "one", [*trials, a_golden(subject=made.cells[0]["subject"], **golden)])
    return read_results(folder)


def critical(results: Results, drop: float, probability: float) -> tuple[float, float, float]:
    table = critical_bers(results)
    row = table[(table["drop"] == drop) & (table.probability == probability)].iloc[0]
    return row.critical_ber, row.critical_ber_ci_low, row.critical_ber_ci_high


def held_up_to(level: int, right: int = FAILED) -> tuple[int, ...]:
    """The curve of a trial that holds so many of three BERs."""
    return (*[HELD] * level, *[right] * (3 - level))


def test_a_network_holds_as_far_as_enough_of_its_trials_do(tmp_path: Path):
    # 10 trials fail at once, 40 hold one BER, 30 two and 20 all three: 90 % hold 1e-6, half of them 1e-5.
    curves = [held_up_to(level) for level, n in enumerate((10, 40, 30, 20)) for _ in range(n)]
    results = recorded(tmp_path, curves)
    assert critical(results, 0.05, 0.9)[0] == 1e-6
    assert critical(results, 0.05, 0.5)[0] == 1e-5
    assert critical(results, 0.05, 0.99)[0] == 0


def test_the_interval_goes_from_a_ber_that_is_held_to_the_first_that_is_not(tmp_path: Path):
    # The ranks of 95 % for a 10 % quantile of 100 are 5 and 17, from 1: for Bin(100, 0.1) P(<= 4) = 0.024 and
    # P(>= 17) = 0.021.
    curves = [held_up_to(level) for level, n in enumerate((4, 12, 0, 84)) for _ in range(n)]
    assert critical(recorded(tmp_path / "a", curves), 0.05, 0.9) == (1e-6, 1e-6, math.inf)
    curves = [held_up_to(level) for level, n in enumerate((5, 12, 83, 0)) for _ in range(n)]
    assert critical(recorded(tmp_path / "b", curves), 0.05, 0.9) == (1e-6, 0, 1e-5)


def test_a_trial_that_failed_once_holds_no_higher_ber(tmp_path: Path):
    results = recorded(tmp_path, [(HELD, FAILED, HELD)] * 100)
    assert critical(results, 0.05, 0.9) == (1e-6, 1e-6, 1e-5)


@pytest.mark.parametrize(("n_correct", "held"), [(187, True), (186, False), (185, False)])
def test_a_loss_of_just_the_drop_is_a_failure(tmp_path: Path, n_correct: int, held: bool):
    # 196 - 186 of 200 are 5 points, though 0.98 - 0.93 is not 0.05 to the last bit.
    assert critical(recorded(tmp_path, [(n_correct,) * 3] * 100), 0.05, 0.9)[0] == (1e-4 if held else 0)


def test_the_larger_the_drop_and_the_surer_the_fewer(tmp_path: Path):
    table = critical_bers(read_results(ArtificialCampaign(schemes=["relu"], trials=60).write(tmp_path)))
    assert len(table) == len(DROPS) * len(PROBABILITIES)
    for probability in PROBABILITIES:
        assert table[table.probability == probability].critical_ber.is_monotonic_increasing
    for drop in DROPS:
        assert table[table["drop"] == drop].critical_ber.is_monotonic_decreasing
    assert (table.critical_ber_ci_low <= table.critical_ber).all()
    assert (table.critical_ber < table.critical_ber_ci_high).all()


def test_too_few_trials_bound_nothing(tmp_path: Path):
    # 0.9^35 = 0.0250 and 0.9^36 = 0.0225: from 36 trials on the lowest bounds the 10 % quantile.
    assert critical(recorded(tmp_path / "a", [held_up_to(3)] * 35), 0.05, 0.9) == (1e-4, 0, math.inf)
    assert critical(recorded(tmp_path / "b", [held_up_to(3)] * 36), 0.05, 0.9) == (1e-4, 1e-4, math.inf)


def test_a_number_that_is_not_recorded_at_every_ber_does_not_count(tmp_path: Path):
    results = recorded(tmp_path, [held_up_to(3)] * 40 + [(FAILED, FAILED, None)] * 60)
    assert critical(results, 0.05, 0.9)[0] == 1e-4
    assert set(critical_bers(results).trials) == {40}


def test_one_ber_is_enough(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], bers=[1e-5])
    assert critical(recorded(tmp_path, [(HELD,)] * 100, made), 0.01, 0.9) == (1e-5, 1e-5, math.inf)


def test_without_trials_or_a_golden_run_there_is_none(tmp_path: Path):
    folder = MADE.write_manifest(tmp_path)
    assert critical_bers(read_results(folder)).empty
    cells = [a_trial(cell=cell["cell"], trial=0) for cell in MADE.cells]
    write_journal(folder / "journal", "one", cells)
    assert critical_bers(read_results(folder)).empty


def test_where_outcomes_ended_the_trials_the_looks_share_what_may_fail(tmp_path: Path):
    # Twelve looks up to 400 trials: 0.9^n must be at most 0.05 / 12 / 2, from 59 trials on instead of 36.
    made = ArtificialCampaign(schemes=["relu"], bers=BERS, trials=400, until={"accuracy_halfwidth": 0.01})
    assert len(read_results(made.write_manifest(tmp_path)).manifest.rule.looks) == 12
    assert critical(recorded(tmp_path / "a", [held_up_to(3)] * 58, made), 0.05, 0.9)[1] == 0
    assert critical(recorded(tmp_path / "b", [held_up_to(3)] * 59, made), 0.05, 0.9)[1] == 1e-4


@pytest.mark.parametrize(("level", "places"), [(0, []), (2, [1e-5]), (3, [1e-4])])
def test_the_accuracy_plot_marks_it_below_the_curves(tmp_path: Path, level: int, places: list[float]):
    results = recorded(tmp_path, [held_up_to(level)] * 100)
    with styled():
        (axes,) = accuracy.draw(results).axes
        marks = [mark for mark in axes.collections if isinstance(mark, PathCollection)]
    assert [mark.get_offsets()[0].tolist() for mark in marks] == [[pytest.approx(ber), 1.5] for ber in places]
    # Where the highest BER tried is held, the triangle points to the right: its tip is the only corner there.
    for mark in marks:
        corners = mark.get_paths()[0].vertices[:3]
        rightmost = corners[:, 0] == corners[:, 0].max()
        assert (rightmost.sum() == 1 and corners[rightmost][0, 1] == pytest.approx(0)) == (level == 3)
