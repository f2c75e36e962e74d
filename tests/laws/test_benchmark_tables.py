"""What the kept benchmark tables of statistics show, held against what was asked of the intervals."""

from pathlib import Path

import pandas as pd
import pytest

KEPT = Path(__file__).parents[2] / "docs" / "benchmarks"


@pytest.fixture(scope="module")
def coverage() -> pd.DataFrame:
    return pd.read_csv(KEPT / "coverage.csv")


def test_betting_intervals_hold_in_every_recorded_distribution(coverage: pd.DataFrame):
    numbers = coverage.groupby("distribution").n_trials.unique().map(list).map(sorted)
    assert numbers.eq([[30, 100, 300, 1000]] * 91).all()
    assert coverage[coverage.method == "betting"].coverage.min() >= 0.94


def test_betting_intervals_are_tighter_than_bets_on_growth_and_star_bets(coverage: pd.DataFrame):
    median = coverage.groupby(["method", "n_trials"]).to_growth.median()
    assert (median["betting"][[100, 300, 1000]] <= 0.88).all()
    assert (median["betting"] < median["STaR"]).all()
    assert coverage[coverage.method == "betting"].to_growth.max() < 1


def test_the_usual_intervals_do_not_hold(coverage: pd.DataFrame):
    for method in ("t", "bootstrap"):
        lowest = coverage[coverage.method == method].groupby("n_trials").coverage.min()
        assert (lowest[[30, 100, 300]] < 0.5).all()
        assert lowest[1000] < 0.9


def test_betting_intervals_are_at_most_twice_as_wide_in_the_transition_region(coverage: pd.DataFrame):
    rows = coverage[coverage["mean"].between(0.3, 0.9) & (coverage.n_trials == 300)]
    widths = rows.pivot_table(index="distribution", columns="method", values="half_width")
    assert len(widths) >= 15
    assert (widths.betting <= 2 * widths.t).all()


def test_intervals_of_rates_quantiles_and_worst_trials_hold_in_every_recorded_distribution():
    tails = pd.read_csv(KEPT / "tails.csv")
    assert tails.groupby(["statistic", "n_trials"]).distribution.nunique().eq(86).all()
    assert set(tails.statistic) == {"sdc_critical_rate", "accuracy_median", "accuracy_q05", "below_min"}
    # The bound on the worst trial has just its confidence where trials hardly tie: 1,000 samples scatter by 0.007.
    assert tails[tails.statistic != "below_min"].coverage.min() >= 0.94
    assert tails[tails.statistic == "below_min"].coverage.min() >= 0.95 - 4 * 0.007


def test_only_sequences_hold_where_one_looks_until_they_are_narrow():
    stopping = pd.read_csv(KEPT / "stopping.csv").groupby("method").coverage.min()
    assert stopping["betting sequence"] >= 0.94
    assert stopping["t"] < 0.1
