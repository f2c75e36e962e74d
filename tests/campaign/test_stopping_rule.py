import pytest

from faultbench.campaign.stopping_rule import StoppingRule, StoppingTarget


def rule(n_max: int, n_min: int, halfwidth: float = 0.01) -> StoppingRule:
    return StoppingRule(n_max, n_min, StoppingTarget(accuracy_halfwidth=halfwidth))


def test_looks_come_half_as_many_again_each_time_and_end_at_the_most():
    assert rule(1000, 30).looks == (30, 45, 68, 102, 153, 230, 345, 518, 777, 1000)
    assert rule(2, 1).looks == (1, 2)
    assert rule(30, 30).looks == (30,)


def test_a_fixed_number_is_looked_at_once():
    assert StoppingRule.read(100) == StoppingRule(100)
    assert StoppingRule(100).looks == (100,)
    assert StoppingRule(100).confidence_per_look == StoppingRule(100).confidence == 0.95


def test_intervals_that_know_no_stopping_share_what_may_fail_among_the_looks():
    assert rule(1000, 30).confidence_per_look == pytest.approx(0.995)
    assert rule(30, 30).confidence_per_look == pytest.approx(0.95)


def test_a_caption_says_what_a_limited_cell_falls_short_of():
    assert StoppingRule(1000).target_text == "the 1,000 asked for"
    assert rule(1000, 30, 0.015).target_text == "it takes to reach ±1.5 points"


def test_a_rule_is_read_from_the_plain_values_of_a_campaign():
    given = {"max": 50, "min": 7, "until": {"accuracy_halfwidth": 0.1, "confidence": 0.8}}
    assert StoppingRule.read(given) == StoppingRule(50, 7, StoppingTarget(accuracy_halfwidth=0.1, confidence=0.8))
    with pytest.raises(ValueError, match="until"):
        StoppingRule.read({"max": 50})
