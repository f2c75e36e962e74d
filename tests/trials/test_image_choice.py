"""Images are drawn without replacement from both strata, and depend only on the seed and the trial number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.system.random_streams import generator
from faultbench.trials.image_choice import choose_images, stratum_sizes

RIGHT = np.arange(100) % 10 != 3  # 90 right, 10 wrong


@given(n_right=st.integers(0, 60), n_wrong=st.integers(0, 60), n_images=st.integers(2, 150))
def test_both_strata_are_met_wherever_there_are_any_and_no_more_than_there_are(n_right, n_wrong, n_images):
    right, wrong = stratum_sizes(n_right, n_wrong, n_images)
    assert right <= n_right
    assert wrong <= n_wrong
    assert (right > 0) == (n_right > 0)
    assert (wrong > 0) == (n_wrong > 0)
    assert right + wrong == min(n_images, n_right + n_wrong)


@pytest.mark.parametrize(("n_images", "expected"), [(2, (1, 1)), (16, (14, 2)), (20, (18, 2)), (100, (90, 10))])
def test_strata_get_their_share(n_images: int, expected: tuple[int, int]):
    chosen = choose_images(1, 2, RIGHT, n_images)
    assert (RIGHT[chosen].sum(), (~RIGHT[chosen]).sum()) == expected
    assert (np.diff(chosen) > 0).all()


def test_a_trial_meets_the_same_images_wherever_it_runs_and_other_trials_others():
    assert choose_images(1, 7, RIGHT, 16).tolist() == choose_images(1, 7, RIGHT, 16).tolist()
    assert choose_images(1, 7, RIGHT, 16).tolist() != choose_images(1, 8, RIGHT, 16).tolist()
    assert choose_images(1, 7, RIGHT, 16).tolist() != choose_images(2, 7, RIGHT, 16).tolist()


@given(n_wrong=st.sampled_from([0, 1, 3, 50, 999, 1000]), n_images=st.integers(1, 30), trial=st.integers(0, 50))
def test_the_images_are_the_first_of_each_stratum_in_an_order_of_all(n_wrong: int, n_images: int, trial: int):
    golden_right = np.arange(1000) >= n_wrong
    order = generator(f"5/images/{trial}").permutation(1000).tolist()
    n_right, n_of_wrong = stratum_sizes(1000 - n_wrong, n_wrong, n_images)
    right = [image for image in order if golden_right[image]][:n_right]
    wrong = [image for image in order if not golden_right[image]][:n_of_wrong]
    assert choose_images(5, trial, golden_right, n_images).tolist() == sorted(right + wrong)


def test_more_images_hold_the_fewer():
    assert set(choose_images(3, 4, RIGHT, 10)) <= set(choose_images(3, 4, RIGHT, 40))


def test_networks_that_are_right_on_nearly_the_same_images_meet_nearly_the_same():
    other = RIGHT.copy()
    other[[5, 17]] = False
    common = set(choose_images(3, 4, RIGHT, 40)) & set(choose_images(3, 4, other, 40))
    assert len(common) >= 36


def test_every_image_of_a_stratum_is_drawn_as_often():
    drawn = np.bincount(np.concatenate([choose_images(0, trial, RIGHT, 20) for trial in range(4000)]), minlength=100)
    # 18 of 90 and 2 of 10 in 4000 trials: 800 each, of a binomial with sd 25.3; 4.5 sd bound 100 of them.
    assert np.abs(drawn - 800).max() < 114
