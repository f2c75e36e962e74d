"""How trials are shared out: binomials to the last digits, fewer of what is harmless, plain where that pays more."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from strata import N_BITS, evaluation, hazards_of, memory_of

from faultbench.results.journal.strata import TOTAL, Hazards, Strata
from faultbench.trials.strata.design import MOST_HAZARDS, binomial, designed

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
    found = designed("c", hazards(), ber, None)
    if found.is_split:
        assert sum(found.share) + math.exp(10**6 * math.log1p(-ber)) == pytest.approx(1, abs=1e-12)
        assert sum(found.drawn) == TOTAL


def test_what_is_harmless_is_drawn_less_often_than_it_occurs():
    found = designed("c", hazards(), 1e-6, None)
    assert found.is_split
    occurs = np.array(found.share) / sum(found.share)
    assert found.drawn[0] / TOTAL < 0.9 * occurs[0]
    assert found.drawn[1] / TOTAL > 2 * occurs[1]
    assert min(found.gain, found.variance_gain) > 1.2


def test_no_weight_is_so_large_that_the_interval_is_wider_than_a_plain_one():
    for ber in (1e-7, 1e-6, 1e-5):
        found = designed("c", hazards(), ber, None)
        assert max(found.weights) < 2.5
        assert found.gain >= 1


def test_rare_flips_pay_most():
    gains = [designed("c", hazards(), ber, None).gain for ber in (1e-8, 1e-7, 1e-6)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 10


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
    assert not designed("c", found, ber, None).is_split


def test_the_strata_hang_on_what_the_pilot_found_and_the_rate_only():
    again = replace(hazards(), subject="t" * 32, n_image_runs=5)
    assert designed("c", hazards(), 1e-6, None) == designed("c", again, 1e-6, None)


def test_few_images_a_trial_blur_what_strata_tell():
    whole, few = (designed("c", hazards(), 1e-6, n_images) for n_images in (None, 4))
    assert few.variance_gain < whole.variance_gain


def test_a_memory_can_be_smaller_than_the_strata_that_its_rate_would_have():
    found = designed("c", hazards_of(memory_of(evaluation())), 0.4, None)
    assert isinstance(found, Strata)
    assert found.n_bits == N_BITS
