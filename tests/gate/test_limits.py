"""Absolute limits: a small language, refused wherever a limit could never apply."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.gate.limits import limit_verdicts, read_limit, read_margin
from faultbench.system.errors import FaultbenchError

PLACES = [
    ("digits", "digits_cnn", scheme, "none", "q15.16", "bernoulli", ber)
    for scheme in ("relu", "clip_act", "Clip-Act (channel), wide")
    for ber in (1e-6, 1e-5)
]


def selected(text: str) -> list[tuple[object, object]]:
    limit = read_limit(text, PLACES)
    return [(place[2], place[-1]) for place in PLACES if limit.selects(place)]


def test_a_limit_without_a_selector_is_for_all_cells():
    assert len(selected("accuracy_mean < 0.9")) == 6


@pytest.mark.parametrize(
    "text",
    [
        "accuracy_mean < 0.9 @ ber=1e-6, scheme=relu",
        "accuracy_mean<0.9@scheme=relu,ber=0.000001",
        '  accuracy_mean  <  0.9  @  ber = 1.0e-6 ,  scheme = "relu"  ',
    ],
)
def test_selectors_hold_together_however_they_are_spelled(text: str):
    assert selected(text) == [("relu", 1e-6)]


def test_a_label_with_a_comma_is_quoted():
    text = 'accuracy_mean < 0.9 @ scheme="Clip-Act (channel), wide", ber=1e-5'
    assert selected(text) == [("Clip-Act (channel), wide", 1e-5)]


@pytest.mark.parametrize(
    ("sign", "broken"), [("<", [0.1]), ("<=", [0.1, 0.5]), (">", [0.9]), (">=", [0.5, 0.9])], ids=str
)
def test_a_limit_is_broken_on_its_side(sign: str, broken: list[float]):
    limit = read_limit(f"sdc_rate {sign} 0.5", PLACES)
    assert [value for value in (0.1, 0.5, 0.9) if limit.is_broken(value)] == broken
    assert limit.is_broken(math.nan)


WRONG = {
    "": "no limit; write it as",
    "accuracy_mean": "no limit; write it as",
    "accuracy_mean = 0.9": "no limit; write it as",
    "accuracy_mean < 0.9 < 1": "no limit; write it as",
    "accuracy_men < 0.9": "unknown column 'accuracy_men'; did you mean 'accuracy_mean'?",
    "scheme < 0.9": "unknown column 'scheme'",
    "ber < 0.9": "unknown column 'ber'",
    "accuracy_mean < high": "'high' is no number",
    "accuracy_mean < nan": "'nan' is no number",
    "accuracy_mean < 90": "accuracy_mean is a fraction in 0..1",
    "accuracy_mean < 0.9 @": "'' selects no cells",
    "accuracy_mean < 0.9 @ 1e-6": "'1e-6' selects no cells",
    "accuracy_mean < 0.9 @ ber=1e-6,": "'' selects no cells",
    "accuracy_mean < 0.9 @ beer=1e-6": "unknown key 'beer'; did you mean 'ber'?",
    "accuracy_mean < 0.9 @ ber=1e-6, ber=1e-5": "ber is given twice",
    "accuracy_mean < 0.9 @ ber=low": "'low' is no number",
    "accuracy_mean < 0.9 @ ber=2e-6": "no cell of the campaign is selected; its BERs are 1e-06, 1e-05",
    "accuracy_mean < 0.9 @ scheme=clipact": "no cell of the campaign has scheme 'clipact'; did you mean 'clip_act'?",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_limit_that_could_never_apply_is_refused_in_one_line(text: str):
    with pytest.raises(FaultbenchError) as caught:
        read_limit(text, PLACES)
    assert f"--fail-if {text!r}: {WRONG[text]}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@given(st.text(max_size=40) | st.text(alphabet='accuracy_mean<>=0.9@ber1e-6, "schml', max_size=40))
def test_any_text_is_a_limit_or_refused(text: str):
    with suppress(FaultbenchError):
        assert read_limit(text, PLACES).text == text


def test_each_selected_cell_gets_a_verdict():
    names = ("dataset", "model", "scheme", "guard", "format", "fault", "ber")
    rows = [{**dict(zip(names, place, strict=True)), "accuracy_mean": 0.8 + 1e4 * place[-1]} for place in PLACES]
    verdicts = limit_verdicts([read_limit("accuracy_mean < 0.85 @ scheme=relu", PLACES)], rows)
    assert [(verdict.cell_name, verdict.value, verdict.is_broken) for verdict in verdicts] == [
        (PLACES[0], pytest.approx(0.81), True),
        (PLACES[1], pytest.approx(0.9), False),
    ]
    unknown = limit_verdicts([read_limit("accuracy_mean < 0.85", PLACES)], [{**rows[0], "accuracy_mean": None}])
    assert [(one.is_broken, one.reason) for one in unknown] == [(True, "accuracy_mean is not known: too few trials")]


@pytest.mark.parametrize(
    ("text", "margin"),
    [
        ("0.5pp", 0.005),
        ("0.5 pp", 0.005),
        ("0.005", 0.005),
        ("0", 0),
        ("5e-3", 0.005),
        (".5pp", 0.005),
        (" 1pp ", 0.01),
    ],
)
def test_a_margin_is_points_or_a_fraction(text: str, margin: float):
    assert read_margin(text) == pytest.approx(margin)


@pytest.mark.parametrize(
    "text", ["", "pp", "half", "-0.5pp", "0.5%", "1", "100pp", "nan", "inf", "1e999", "0.5ppp", "0,5pp"]
)
def test_what_is_no_margin_is_refused_in_one_line(text: str):
    with pytest.raises(FaultbenchError, match=r"--max-drop .*; write 0\.5pp") as caught:
        read_margin(text)
    assert len(str(caught.value).splitlines()) == 1
