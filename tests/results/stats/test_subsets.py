"""Means of random subsets, held against every subset of small populations and against Clopper and Pearson."""

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


def test_the_ends_of_a_mean_are_where_the_divergence_reaches_the_limit() -> None:
    low, high = stats.mean_ends(np.array([0.0, 1.0, 0.9, 0.5]), np.array([10, 10, 100, 0]), error=0.01)
    # By hand: of ten zeros (1 - μ)^10 = 0.01, so μ = 1 - 0.01^(1/10).
    assert (low[0], high[0]) == (0, pytest.approx(1 - 0.01**0.1))
    assert (low[1], high[1]) == (pytest.approx(0.01**0.1), 1)
    assert (low[3], high[3]) == (0, 1)
    for end in (low[2], high[2]):
        divergence = 0.9 * np.log(0.9 / end) + 0.1 * np.log(0.1 / (1 - end))
        assert 100 * divergence == pytest.approx(np.log(100))


def test_the_ends_hold_those_of_clopper_and_pearson_for_rates() -> None:
    n_failed, n_trials = np.arange(51), np.full(51, 50)
    low, high = stats.mean_ends(n_failed / 50, n_trials, error=0.025)
    exact_low, exact_high = stats.rate_intervals(n_failed, n_trials)
    assert (low <= exact_low + 1e-6).all()
    assert (high >= exact_high - 1e-6).all()
