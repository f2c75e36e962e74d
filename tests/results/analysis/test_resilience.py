import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultbench.results.analysis.resilience import areas, resiliences
from faultbench.results.analysis.results import Results, read_results
from faultbench.results.stats import mean_interval
from tests.builders.results import ArtificialCampaign, a_trial, write_journal

UNEVEN = (1e-6, 1e-5, 1e-3)
"""One decade, then two."""

bers = st.lists(st.floats(1e-12, 0.5), min_size=2, max_size=6, unique_by=lambda ber: round(math.log10(ber), 3))


def recorded(root: Path, curves: dict[int, dict[float, int]], grid: tuple[float, ...] = UNEVEN) -> Results:
    """Results of relu at the BERs of grid, given for each trial number its n_correct of 200 at each BER."""
    made = ArtificialCampaign(schemes=["relu"], bers=grid)
    cells = {cell["ber"]: cell["cell"] for cell in made.cells}
    folder = made.write_manifest(root)
    trials = [
        a_trial(cell=cells[ber], trial=number, n_correct=n_correct)
        for number, curve in curves.items()
        for ber, n_correct in curve.items()
    ]
    write_journal(folder / "journal", "one", trials)
    return read_results(folder)


def test_an_area_is_the_trapezoid_over_decades_worked_by_hand(tmp_path: Path):
    curves = {0: dict(zip(UNEVEN, (200, 100, 0), strict=True)), 1: dict.fromkeys(UNEVEN, 160)}
    table = areas(recorded(tmp_path, curves))
    assert list(table.columns) == ["dataset", "model", "scheme", "guard", "format", "fault", "trial", "area"]
    assert table.trial.tolist() == [0, 1]
    # (1 + 0.5) / 2 over one decade and (0.5 + 0) / 2 over two, of three.
    assert table.area.tolist() == pytest.approx([(0.75 + 0.25 * 2) / 3, 0.8])


def test_a_trial_without_a_wrong_image_has_no_area_above_1_however_its_sum_is_rounded(tmp_path: Path):
    grid = (
        *(0.10758181482466492, 0.1369070511647401, 0.1880786332903081, 0.202828722381198, 0.22681117887328006),
        *(0.23402200671879525, 0.25415636033919964, 0.27652848395308594, 0.33814922581964135, 0.35063925319048056),
        *(0.41554875035475775, 0.45609492595268386),
    )
    # numpy 2.4 finds 1 + 2e-16 over these.
    results = recorded(tmp_path, {0: dict.fromkeys(grid, 200)}, grid)
    assert areas(results).area.tolist() == [1]
    assert resiliences(results).resilience.tolist() == [1]


def test_a_trial_that_is_not_recorded_at_every_ber_is_left_out(tmp_path: Path):
    whole = dict.fromkeys(UNEVEN, 160)
    curves = {number: {ber: n for ber, n in whole.items() if ber != missing} for number, missing in enumerate(UNEVEN)}
    assert areas(recorded(tmp_path, {**curves, 3: whole})).trial.tolist() == [3]


def test_a_ber_of_the_campaign_that_no_trial_has_leaves_no_area(tmp_path: Path):
    results = recorded(tmp_path, {0: {1e-6: 200, 1e-5: 100}})
    assert areas(results).empty
    assert resiliences(results).empty


@pytest.mark.parametrize("curves", [{}, {0: {1e-6: 200}}])
def test_a_campaign_of_one_ber_or_without_trials_has_no_area(tmp_path: Path, curves: dict[int, dict[float, int]]):
    results = recorded(tmp_path, curves, (1e-6,) if curves else UNEVEN)
    assert areas(results).empty
    assert resiliences(results).empty


def test_the_resilience_is_the_mean_area_with_the_interval_over_trial_numbers(tmp_path: Path):
    results = read_results(
        ArtificialCampaign(schemes=["relu", "fitact"], formats=["q15.16", "float32"], trials=30).write(tmp_path)
    )
    table, all_areas = resiliences(results), areas(results)
    assert len(all_areas) == 4 * 30
    assert len(table) == 4
    for row in table.itertuples():
        of_row = (all_areas.scheme == row.scheme) & (all_areas.format == row.format)
        area = all_areas[of_row].sort_values("trial").area.tolist()
        interval = mean_interval(area)
        assert row.n_areas == 30
        assert row.resilience == pytest.approx(sum(area) / 30)
        assert (row.resilience_ci_low, row.resilience_ci_high) == (interval.low, interval.high)


def test_where_outcomes_ended_the_trials_the_interval_is_of_a_sequence(tmp_path: Path):
    until = {"accuracy_halfwidth": 0.01, "confidence": 0.9}
    results = read_results(ArtificialCampaign(schemes=["relu"], trials=30, until=until).write(tmp_path))
    (row,) = resiliences(results).itertuples()
    interval = mean_interval(areas(results).area.tolist(), confidence=0.9, anytime=True)
    assert (row.resilience_ci_low, row.resilience_ci_high) == (interval.low, interval.high)


@pytest.mark.slow
@given(bers, st.integers(0, 200))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flat_curve_has_its_accuracy_as_area_over_any_bers(tmp_path: Path, grid: list[float], n_correct: int):
    folder = tmp_path / f"{hash((*grid, n_correct))}"
    results = recorded(folder, {0: dict.fromkeys(grid, n_correct)}, tuple(grid))
    assert areas(results).area.tolist() == pytest.approx([n_correct / 200])
