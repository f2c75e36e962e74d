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
    found = design_strata("c", hazards(), ber, None, 300)
    if found.is_split:
        assert sum(found.share) + math.exp(10**6 * math.log1p(-ber)) == pytest.approx(1, abs=1e-12)
        assert sum(found.drawn) == TOTAL


def test_what_is_harmless_is_drawn_less_often_than_it_occurs():
    found = design_strata("c", hazards(), 1e-6, None, 300)
    assert found.is_split
    occurs = np.array(found.share) / sum(found.share)
    assert found.drawn[0] / TOTAL < 0.9 * occurs[0]
    assert found.drawn[1] / TOTAL > 2 * occurs[1]
    assert min(found.gain, found.variance_gain) > 1.2


def test_no_weight_is_so_large_that_the_interval_is_wider_than_a_plain_one():
    for ber in (1e-7, 1e-6, 1e-5):
        found = design_strata("c", hazards(), ber, None, 300)
        assert max(found.weights) < 2.5
        assert found.gain >= 1


def test_rare_flips_pay_most():
    gains = [design_strata("c", hazards(), ber, None, 300).gain for ber in (1e-8, 1e-7, 1e-6)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 10


def test_an_allocation_worked_out_by_hand():
    """One hazard of eleven bits at BER 0.1; where it flips, half of the probes lose all of their images."""
    found = design_strata("c", hazards(((1, 0, 4, 10, 20, 200, 4),), n_bits=11, n_hazards=1), 0.1, None, 300)
    # No hazard but one of ten other bits flips, and the hazard flips: 0.9 · (1 - 0.9^10) and 0.1.
    assert found.first == (0, 1)
    assert found.share == pytest.approx((0.5861894, 0.1), abs=1e-7)
    # Neyman: 0.5862 · 0.02 to 0.1 · 0.5, which is 0.1899 to 0.8101; plain shares: 0.8543 to 0.1457. 0.45 of the first
    # and 0.55 of the second is 0.5553 to 0.4447 of 65,536. The half-width is 0.016744 there, and 0.016797 and 0.016787
    # for parts of 0.5 and 0.6: 2.1 √(0.0062209 / 300) + 3.6889 · 1.16803 / 600.
    assert found.drawn == (36393, 29143)
    assert (found.lost, found.due) == ((0.0, 0.5), (0.0, 0.1))
    # Plain trials have the variance 0.5862 · 0.02² + 0.1 · 0.5 - 0.05² = 0.047734, against 0.0062209; their half-width
    # is 0.016744 after 958.5 trials, against 300.
    assert (found.gain, found.variance_gain) == (3.195, 7.673)


@pytest.mark.parametrize("found", [hazards(n_hazards=0), hazards(points=())], ids=["no hazard", "nothing probed"])
def test_without_hazards_the_memories_without_a_flip_are_still_left_out(found: Hazards):
    design = design_strata("c", found, 1e-6, None, 300)
    any_flip = -math.expm1(10**6 * math.log1p(-1e-6))
    assert (design.first, design.drawn) == ((0,), (TOTAL,))
    assert design.share == design.weights == pytest.approx((any_flip,), rel=1e-12)
    assert design.gain == design.variance_gain == round(1 / any_flip, 3)


def test_no_interval_is_wider_than_that_of_plain_trials_in_any_design():
    # A rate that never occurs has a half-width in proportion to the largest weight, 1 for plain trials.
    for ber in (1e-8, 1e-7, 1e-6, 3e-6, 1e-5, 3e-5):
        for n_trials in (30, 100, 300, 3000):
            for points in (RARE_BUT_BAD, HARMLESS, SATURATED):
                design = design_strata("c", hazards(points), ber, None, n_trials)
                assert max(design.weights, default=1.0) <= 1.005


def test_the_design_aims_at_the_number_of_trials():
    few, many = (design_strata("c", hazards(), 1e-6, None, n_trials) for n_trials in (100, 3000))
    # The rarer a disaster among few trials, the closer the draws stay to plain shares.
    assert few.drawn[0] > many.drawn[0]


def test_nothing_is_gained_if_too_many_hazards_flip():
    plain = design_strata("c", hazards(), 2.2 * MOST_HAZARDS / 10**5, None, 300)
    assert (plain.is_split, plain.gain, plain.variance_gain) == (False, 1.0, 1.0)


@pytest.mark.parametrize(
    ("found", "ber"),
    [
        (hazards(n_hazards=0), 1e-5),
        (hazards(points=()), 1e-5),
        (hazards(points=SATURATED), 1e-3),
        (hazards(points=HARMLESS), 3e-4),
        (hazards(), 2.2 * MOST_HAZARDS / 10**5),
    ],
    ids=["no hazard", "nothing probed", "everything fails", "nothing fails", "too many hazards flip"],
)
def test_where_strata_do_not_pay_trials_are_plain(found: Hazards, ber: float):
    assert not design_strata("c", found, ber, None, 300).is_split


def test_the_strata_depend_on_the_pilot_and_the_rate_only():
    again = replace(hazards(), subject="t" * 32, n_image_runs=5)
    assert design_strata("c", hazards(), 1e-6, None, 300) == design_strata("c", again, 1e-6, None, 300)


def test_few_images_a_trial_blur_what_strata_tell():
    whole, few = (design_strata("c", hazards(), 1e-6, n_images, 300) for n_images in (None, 4))
    assert few.variance_gain < whole.variance_gain


def test_a_memory_can_be_smaller_than_the_strata_that_its_rate_would_have():
    found = design_strata("c", hazards_of(memory_of(evaluation())), 0.4, None, 300)
    assert isinstance(found, Strata)
    assert found.n_bits == N_BITS
