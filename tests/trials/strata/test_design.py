"""Allocation of trials to strata: exact binomials, fewer harmless trials, and plain trials if strata do not pay."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from faultbench.results.journal.strata import TOTAL, Hazards, Strata
from faultbench.trials.strata.design import MOST_HAZARDS, binomial, design_strata
from tests.builders.strata import N_BITS, evaluation, hazards_of, memory_of

RARE_BUT_BAD = ((1, 0, 24, 16, 200, 2500, 0), (2, 0, 24, 16, 300, 4200, 0), (0, 64, 24, 16, 0, 0, 0))
HARMLESS = ((1, 0, 24, 16, 1, 1, 0), (0, 64, 24, 16, 1, 1, 0))
SATURATED = ((1, 0, 24, 16, 380, 6020, 0), (2, 0, 24, 16, 380, 6020, 0), (0, 64, 24, 16, 380, 6020, 0))


def hazards(
    points: tuple[tuple[int, ...], ...] = RARE_BUT_BAD, *, n_bits: int = 10**6, n_hazards: int = 5 * 10**4
) -> Hazards:
    rows = ((0, 0, 0, n_bits - n_hazards, 8, 0, 32, 0), (0, 31, 0, n_hazards, 4, 4, 32, 20))
    return Hazards("s" * 32, (("layer", "weights"),), rows, points, 2, 1000)


@pytest.mark.parametrize(("n", "p"), [(9, 0.05), (50_000, 1e-9), (50_000, 2e-5), (10**8, 4e-6), (3, 0.5)])
def test_the_binomial_is_right_to_twelve_digits(n: int, p: float):
    found = binomial(n, p)
    np.testing.assert_allclose(found, binom.pmf(np.arange(len(found)), n, p), rtol=1e-10)
    assert found.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("ber", [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
def test_strata_and_the_memory_without_a_flip_are_all_there_is(ber: float):
    found = design_strata("c", hazards(), ber, None)
    if found.is_split:
        assert sum(found.share) + math.exp(10**6 * math.log1p(-ber)) == pytest.approx(1, abs=1e-12)
        assert sum(found.drawn) == TOTAL


def test_what_is_harmless_is_drawn_less_often_than_it_occurs():
    found = design_strata("c", hazards(), 1e-6, None)
    assert found.is_split
    occurs = np.array(found.share) / sum(found.share)
    assert found.drawn[0] / TOTAL < 0.9 * occurs[0]
    assert found.drawn[1] / TOTAL > 2 * occurs[1]
    assert min(found.gain, found.variance_gain) > 1.2


def test_no_weight_is_so_large_that_the_interval_is_wider_than_a_plain_one():
    for ber in (1e-7, 1e-6, 1e-5):
        found = design_strata("c", hazards(), ber, None)
        assert max(found.weights) < 2.5
        assert found.gain >= 1


def test_rare_flips_pay_most():
    gains = [design_strata("c", hazards(), ber, None).gain for ber in (1e-8, 1e-7, 1e-6)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 10


def test_an_allocation_worked_out_by_hand():
    """One hazard of eleven bits at BER 0.1; where it flips, half of the probes lose all of their images."""
    found = design_strata("c", hazards(((1, 0, 4, 10, 20, 200, 4),), n_bits=11, n_hazards=1), 0.1, None)
    # No hazard but one of ten other bits flips, and the hazard flips: 0.9 · (1 - 0.9^10) and 0.1.
    assert found.first == (0, 1)
    assert found.share == pytest.approx((0.5861894, 0.1), abs=1e-7)
    # Neyman: 0.5862 · 0.02 to 0.1 · 0.5, which is 0.1899 to 0.8101; plain shares: 0.8543 to 0.1457. Half of each is
    # 0.5221 to 0.4779 of 65,536. The half-width is 0.019511 there, and 0.019580 and 0.019550 for parts of 0.45 and
    # 0.55: √(2 · 3.6889 · 0.0058215 / 300) + 3.6889 · 1.22736 / 600.
    assert found.drawn == (34217, 31319)
    assert (found.lost, found.due) == ((0.0, 0.5), (0.0, 0.1))
    # Plain trials have the variance 0.5862 · 0.02² + 0.1 · 0.5 - 0.05² = 0.047734, against 0.0058215; their half-width
    # is 0.019511 after 1,106 trials, against 300.
    assert (found.gain, found.variance_gain) == (3.687, 8.2)


@pytest.mark.parametrize(
    ("found", "ber"),
    [
        (hazards(n_hazards=0), 1e-6),
        (hazards(points=()), 1e-6),
        (hazards(), 2.2 * MOST_HAZARDS / 10**5),
    ],
    ids=["no hazard", "nothing probed", "too many hazards flip"],
)
def test_nothing_is_gained_where_no_strata_are_designed(found: Hazards, ber: float):
    plain = design_strata("c", found, ber, None)
    assert (plain.gain, plain.variance_gain) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("found", "ber"),
    [
        (hazards(n_hazards=0), 1e-6),
        (hazards(points=()), 1e-6),
        (hazards(points=SATURATED), 1e-3),
        (hazards(points=HARMLESS), 3e-4),
        (hazards(), 2.2 * MOST_HAZARDS / 10**5),
    ],
    ids=["no hazard", "nothing probed", "everything fails", "nothing fails", "too many hazards flip"],
)
def test_where_strata_do_not_pay_trials_are_plain(found: Hazards, ber: float):
    assert not design_strata("c", found, ber, None).is_split


def test_the_strata_depend_on_the_pilot_and_the_rate_only():
    again = replace(hazards(), subject="t" * 32, n_image_runs=5)
    assert design_strata("c", hazards(), 1e-6, None) == design_strata("c", again, 1e-6, None)


def test_few_images_a_trial_blur_what_strata_tell():
    whole, few = (design_strata("c", hazards(), 1e-6, n_images) for n_images in (None, 4))
    assert few.variance_gain < whole.variance_gain


def test_a_memory_can_be_smaller_than_the_strata_that_its_rate_would_have():
    found = design_strata("c", hazards_of(memory_of(evaluation())), 0.4, None)
    assert isinstance(found, Strata)
    assert found.n_bits == N_BITS
