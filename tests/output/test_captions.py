"""Numbers of captions, each worked out by hand."""

import math

import pandas as pd
import pytest

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.output.captions import (
    hollow_note,
    images_text,
    left_out_text,
    overhead_text,
    ratio_texts,
    shared_count,
    trials_text,
)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([100, 100], "100"),
        ([60, 1000, 80], "60 to 1,000"),
        ([0, 5], "0 to 5"),
        ([0, 0], "no"),
        ([], "no"),
        ([math.nan, 7.0], "7"),
    ],
)
def test_counts_that_differ_are_given_as_a_range(counts: list[float], text: str):
    assert shared_count(counts) == text


def test_a_caption_counts_trials_and_the_images_of_a_sample():
    cells = pd.DataFrame({"trials": [30, 40], "images_per_trial": [16.4, 63.5], "images": [10_000, 10_000]})
    assert trials_text(cells) == "30 to 40 trials per cell, 16 to 64 of 10,000 images per trial"
    assert images_text(cells.assign(images_per_trial=10_000)) == "10,000"
    assert images_text(cells.assign(images_per_trial=math.nan)) == "no"


@pytest.mark.parametrize(
    ("percent", "text"), [(0.0000883, "0.0000883"), (12.34, "12.3"), (0.1, "0.1"), (0, "0"), (1234.5, "1230")]
)
def test_an_overhead_has_three_significant_digits_and_no_exponent(percent: float, text: str):
    assert overhead_text(percent) == text


def test_the_interval_of_a_latency_ratio_is_rounded_outwards():
    row = {"latency_ratio": 1.2345, "latency_ratio_ci_low": 1.219, "latency_ratio_ci_high": 1.241}
    assert ratio_texts(row) == ("1.23", "1.21", "1.25")
    assert ratio_texts({**row, "latency_ratio": math.nan}) is None


def test_notes_say_how_many():
    assert hollow_note(StoppingRule(50)) == f" Hollow: fewer trials than {StoppingRule(50).target_text}."
    assert left_out_text(0) == ""
    assert left_out_text(1) == " Left out: 1 row in which no trial tells."
    assert left_out_text(2) == " Left out: 2 rows in which no trial tells."
