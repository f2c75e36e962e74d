"""Means of random subsets, held against every subset of small populations and a search of all rates."""

from itertools import combinations

import numpy as np
import pytest

from faultbench.results import stats

POPULATIONS = {
    "few disasters": [1.0] * 7 + [0.1, 0.1, 0.0],
    "mixed": [0.05, 0.3, 0.31, 0.5, 0.77, 0.8, 0.92, 0.99],
    "all alike": [0.9] * 6,
    "two": [0.2, 0.8],
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_p_value_bounds_the_share_of_subsets_with_as_low_a_mean(name: str) -> None:
    values = np.array(POPULATIONS[name])
    for size in range(1, len(values) + 1):
        means = np.array([np.mean(part) for part in combinations(values, size)])
        exact = (means[None, :] <= means[:, None] + 1e-12).mean(axis=1)
        bounds = stats.low_subset_p_values(values, np.full(len(means), size), means)
        assert (bounds >= exact - 1e-9).all()
        assert (bounds <= 1).all()


def test_subsets_of_the_worst_values_alone_are_judged_as_if_drawn_with_replacement() -> None:
    values = np.array([0.0] * 10 + [1.0] * 90)
    bound = stats.low_subset_p_values(values, np.array([3]), np.array([0.0]))
    assert bound == pytest.approx(0.1**3, rel=1e-6)


def test_a_mean_that_is_not_low_has_the_p_value_1() -> None:
    values = np.array([0.1, 0.5, 0.9])
    assert stats.low_subset_p_values(values, np.array([1, 2, 3]), np.array([0.9, 0.5, 0.5])).tolist() == [1, 1, 1]


def test_the_larger_part_is_judged_by_what_is_left() -> None:
    values = np.array([0.0] * 90 + [1.0] * 10)
    low = stats.low_subset_p_values(values, np.array([90]), np.array([0.0]))  # the ten left are all right
    assert low == pytest.approx(0.1**10, rel=1e-6)


@pytest.mark.parametrize(("sizes", "values"), [([0], [0.5]), ([2], [0.5]), ([1], [1.5])])
def test_sizes_and_values_out_of_range_are_refused(sizes: list[int], values: list[float]) -> None:
    with pytest.raises(ValueError, match="have to be in"):
        stats.low_subset_p_values(np.array(values), np.array(sizes), np.array([0.5]))


def test_corrected_p_values_are_those_of_scipy() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    for p_values in (rng.random(200) ** 3, np.array([0.5]), np.array([0.01, 0.01, 1.0, 0.04])):
        corrected = stats.benjamini_hochberg(p_values)
        np.testing.assert_allclose(corrected, scipy_stats.false_discovery_control(p_values), rtol=1e-12)
    assert stats.benjamini_hochberg(np.array([])).tolist() == []


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("effect", [0.0, 0.2, 1.0])
def test_the_lower_end_of_an_effect_misses_no_more_often_than_allowed(name: str, effect: float) -> None:
    """Every subset of each size is lowered by the effect, or to 0; the true mean effect is known for each."""
    without = np.array(POPULATIONS[name])
    for size in range(1, len(without)):
        n_missed = n_subsets = 0
        for part in combinations(range(len(without)), size):
            values = without.copy()
            values[list(part)] = np.maximum(values[list(part)] - effect, 0)
            true = (without[list(part)] - values[list(part)]).mean()
            low = stats.least_effects(values, np.array([size]), values[list(part)].mean(keepdims=True), error=0.2)
            n_missed += true < low[0] - 1e-9
            n_subsets += 1
        assert n_missed <= 0.2 * n_subsets


def test_the_lower_end_is_above_0_if_and_only_if_the_p_value_is_below_the_error() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(300) < 0.2, 0.1, 0.9)
    sizes = np.arange(1, 101)
    means = 0.9 - 0.8 * rng.random(100)
    p_values = stats.low_subset_p_values(values, sizes, means)
    for error in (0.05, 1e-3):
        low = stats.least_effects(values, sizes, means, error=error)
        assert ((low > 0) == (p_values < error)).all()
    assert 20 < (p_values < 1e-3).sum() < 100


@pytest.mark.parametrize(
    ("values", "size", "mean"), [([0.1, 0.2, *[0.9] * 18], 2, 0.15), ([0.3] * 50 + [0.6] * 30 + [0.8] * 120, 20, 0.7)]
)
def test_the_lower_end_of_an_effect_by_a_search_of_all_rates(values: list[float], size: int, mean: float) -> None:
    known = np.array(values)
    rates = np.geomspace(1e-3, 300, 50_000)
    low = stats.least_effects(known, np.array([size]), np.array([mean]), error=0.01)
    moments = np.log(np.mean(np.exp(-np.outer(rates, known)), axis=1))
    assert low[0] == pytest.approx(np.max((-moments - np.log(100) / size) / rates) - mean, abs=1e-3)


def test_the_ends_of_a_mean_are_where_the_divergence_reaches_the_limit() -> None:
    low, high = stats.mean_ends(np.array([0.0, 1.0, 0.9, 0.5]), np.array([10, 10, 100, 0]), error=0.01)
    # By hand: of ten zeros (1 - μ)^10 = 0.01, so μ = 1 - 0.01^(1/10).
    assert (low[0], high[0]) == (0, pytest.approx(1 - 0.01**0.1))
    assert (low[1], high[1]) == (pytest.approx(0.01**0.1), 1)
    assert (low[3], high[3]) == (0, 1)
    for end in (low[2], high[2]):
        divergence = 0.9 * np.log(0.9 / end) + 0.1 * np.log(0.1 / (1 - end))
        assert 100 * divergence == pytest.approx(np.log(100))


def test_the_ends_of_a_mean_hold_those_of_clopper_and_pearson_for_rates() -> None:
    n_failed, n_trials = np.arange(51), np.full(51, 50)
    low, high = stats.mean_ends(n_failed / 50, n_trials, error=0.025)
    exact_low, exact_high = stats.rate_intervals(n_failed, n_trials)
    assert (low <= exact_low + 1e-6).all()
    assert (high >= exact_high - 1e-6).all()
