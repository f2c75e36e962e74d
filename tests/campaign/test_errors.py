"""What a user reads when a campaign file is wrong: every problem at once, a line each."""

import pickle

import pytest

from faultbench.campaign import CampaignError, parse_campaign
from faultbench.plugins.registry import catalogue
from faultbench.system.errors import FaultbenchError
from tests.builders.campaign_texts import SOURCE, more_plug_ins, problems, small

KEYS = (
    "name, seed, plugins, datasets, models, schemes, guards, formats, faults, bers, trials, images, sampling, batch, "
    "training"
)
DATASETS = ", ".join(catalogue("dataset"))
SCHEMES = ", ".join(catalogue("scheme"))
CLIP_ACT = ", ".join(catalogue("scheme")["clip_act"].options)


def test_all_problems_of_a_file_are_told_at_once_in_its_order() -> None:
    text = """\
name: paper table
datasets: [digits]
models:
  - digits_cnn
  - {name: digits_cnn, when: {data: digits}}
schemes:
  - relu
  - ftclipact
  - {name: clip_act, granularity: chanel}
  - {name: clip_act, granulrity: channel}
bers: [1e-7, 10, -1, .nan]
trails: 100
images: al
training: {schedule: papers}
images: 5
"""
    assert problems(text) == [
        "small.yaml:1:7: name: must be text that matches ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$; given 'paper table'",
        "small.yaml:5:30: models[1].when: missing key 'dataset': names or labels of data sets",
        "small.yaml:5:31: models[1].when: unknown key 'data'; did you mean 'dataset'? (known: dataset)",
        f"small.yaml:8:5: schemes[1]: unknown scheme 'ftclipact'; did you mean 'ft_clipact'? (known: {SCHEMES})",
        (
            "small.yaml:9:35: schemes[2].granularity: must be 'layer', 'channel', 'neuron' or 'hybrid'; given "
            "'chanel'; did you mean 'channel'?"
        ),
        (
            "small.yaml:10:22: schemes[3]: unknown key 'granulrity'; did you mean 'granularity'? "
            "(known: granularity, quantile, nan_policy, name, label)"
        ),
        "small.yaml:11:14: bers[1]: must be at most 0.5; given 10",
        "small.yaml:11:18: bers[2]: must be above 0; given -1",
        "small.yaml:11:22: bers[3]: must be a number; given '.nan'",
        f"small.yaml:12:1: unknown key 'trails'; did you mean 'trials'? (known: {KEYS})",
        "small.yaml:13:9: images: must be a whole number or 'all' or 'auto'; given 'al'; did you mean 'all'?",
        "small.yaml:14:22: training.schedule: must be 'paper' or 'fast'; given 'papers'; did you mean 'paper'?",
        "small.yaml:15:1: repeated key 'images'; first given at line 13; leave one out",
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "2024"}, "1:7: name: must be text; given 2024; put it in quotes"),
        ({"name": "''"}, "1:7: name: must be text that matches ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$; given ''"),
        ({"seed": "-1"}, "7:7: seed: must be at least 0; given -1"),
        ({"seed": "1.5"}, "7:7: seed: must be a whole number; given 1.5"),
        ({"bers": "1e-6"}, "5:7: bers: must be a list; given 1e-06; write [1e-06]"),
        ({"bers": "[]"}, "5:7: bers: must be a list of at least 1; given an empty list"),
        ({"bers": "{a: 1}"}, "5:7: bers: must be a list; given a mapping"),
        ({"bers": "[0]"}, "5:8: bers[0]: must be above 0; given 0"),
        ({"bers": "[0.50001]"}, "5:8: bers[0]: must be at most 0.5; given 0.50001"),
        ({"bers": "[.inf]"}, "5:8: bers[0]: must be a number; given '.inf'"),
        ({"bers": "['1e-6']"}, "5:8: bers[0]: must be a number; given '1e-6'"),
        ({"bers": "[true]"}, "5:8: bers[0]: must be a number; given true"),
        ({"bers": "[1e-6, 0.000001]"}, "5:14: bers[1]: repeats bers[0], 1e-06; leave one out"),
        ({"schemes": "relu"}, "4:10: schemes: must be a list; given 'relu'; write [relu]"),
        ({"schemes": "[]"}, "4:10: schemes: must be a list of at least 1; given an empty list"),
        ({"schemes": "[[relu]]"}, "4:11: schemes[0]: must be a name, or a mapping with a name; given a list"),
        ({"schemes": "[null]"}, "4:11: schemes[0]: must be a name, or a mapping with a name; given nothing"),
        ({"schemes": "[{label: x}]"}, "4:11: schemes[0]: missing key 'name': as `faultbench list` prints it"),
        (
            {"schemes": "[{label: x, name: relo}]"},
            f"4:28: schemes[0]: unknown scheme 'relo'; did you mean 'relu'? (known: {SCHEMES})",
        ),
        (
            {"models": "[{name: digits_cnn, when: {dataset: [digits, 1]}}]"},
            "3:54: models[0].when.dataset[1]: must be text; given 1; put it in quotes",
        ),
        (
            {"models": "[{name: digits_cnn, when: {dataset: 1}}]"},
            "3:45: models[0].when.dataset: must be text or a list; given 1",
        ),
        ({"schemes": "[{name: 5}]"}, "4:18: schemes[0].name: must be text; given 5; put it in quotes"),
        ({"schemes": f"[{'x, ' * 1001}]"}, "4:10: schemes: must be a list of at most 1000; given a list"),
        *(
            ({"faults": f"[{{name: bernoulli, bits: {bits}}}]"}, f"7:34: faults[0].bits: must be a list of {wanted}")
            for bits, wanted in (("[31]", "2; given a list"), ("[]", "2; given an empty list"))
        ),
        ({"guards": "[secded]"}, "7:10: guards[0]: unknown guard 'secded' (known: none)"),
        (
            {"formats": "[qx.y]"},
            (
                "7:11: formats[0]: number format 'qx.y': integer must be a valid integer, unable to parse string as an "
                "integer; given 'x'"
            ),
        ),
        (
            {"formats": "[{name: q1.32}]"},
            "7:18: formats[0]: number format 'q1.32': fraction must be less than or equal to 31; given '32'",
        ),
        ({"formats": "[q015.16]"}, "7:11: formats[0]: number format 'q015.16': integer is written 15; given '015'"),
        (
            {"datasets": "[digit]"},
            f"2:12: datasets[0]: unknown dataset 'digit'; did you mean 'digits'? (known: {DATASETS})",
        ),
        ({"trials": "0"}, "6:9: trials: must be at least 1; given 0"),
        ({"trials": "yes"}, "6:9: trials: must be a whole number; given 'yes'"),
        ({"trials": ""}, None),
        ({"images": "0"}, "7:9: images: must be at least 1 or 'all' or 'auto'; given 0"),
        ({"batch": "'250'"}, "7:8: batch: must be a whole number or 'auto'; given '250'"),
        ({"training": "paper"}, "7:11: training: must be a mapping; given 'paper'"),
        ({"training": "{}"}, None),
        (
            {"schemes": "[{name: relu, label: ''}]"},
            "4:31: schemes[0].label: must be at least 1 character(s) long; given ''",
        ),
        (
            {"schemes": '[{name: relu, label: "a\\nb"}]'},
            "4:31: schemes[0].label: must be one line of printable text; given 'a\\nb'",
        ),
        ({"trials": "[5]"}, "6:9: trials: must be a whole number; given a list"),
        (
            {"trials": "{max: 1000, min: 30}"},
            "6:9: trials: missing key 'until': what ends a cell, such as {accuracy_halfwidth: 0.01}",
        ),
        (
            {"trials": "{max: 20, until: {accuracy_halfwidth: 0.01}}"},
            "6:9: trials: min must be at most max; min is 30, max 20; given a mapping",
        ),
        (
            {"trials": "{max: 1000, until: {accuracy_halfwidth: 1}}"},
            "6:49: trials.until.accuracy_halfwidth: must be below 0.5; given 1",
        ),
        (
            {"trials": "{max: 1000, until: {accuracy_halfwidth: 0.01, confidence: 95}}"},
            "6:67: trials.until.confidence: must be below 1.0; given 95",
        ),
        (
            {"trials": "{max: 1000, until: {accuracy_halfwidth: 0.01, confidense: 0.9}}"},
            (
                "6:55: trials.until: unknown key 'confidense'; did you mean 'confidence'? "
                "(known: accuracy_halfwidth, confidence)"
            ),
        ),
        ({"trials": "{max: 1000, until: {accuracy_halfwidth: 0.01}}"}, None),
        (
            {"bers": ""},
            "1:1: missing key 'bers': bit error rates above 0 and at most 0.5, such as [1e-7, 1e-6]",
        ),
    ],
)
def test_one_mistake_gives_one_line_that_says_where_and_what_would_be_right(
    changed: dict[str, str], message: str | None
) -> None:
    assert problems(small(**changed)) == ([f"small.yaml:{message}"] if message else [])


@pytest.mark.parametrize("text", ["", "# only a comment\n", "null", "--- \n"])
def test_an_empty_file_is_told_to_be_a_mapping(text: str) -> None:
    assert [line.partition(": ")[2] for line in problems(text)] == ["must be a mapping; given nothing"]


@pytest.mark.parametrize(("text", "given"), [("[a]", "a list"), ("just text", "'just text'"), ("5", "5")])
def test_a_file_that_is_no_mapping_is_told_so(text: str, given: str) -> None:
    assert problems(text) == [f"small.yaml:1:1: must be a mapping; given {given}"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("bits: 9", "4:31: schemes[0].bits: must be at most 8; given 9"),
        ("bits: yes", "4:31: schemes[0].bits: must be a whole number; given 'yes'"),
        ("bits: 4.0", "4:31: schemes[0].bits: must be a whole number; given 4.0"),
        ("bits: true", "4:31: schemes[0].bits: must be a whole number; given true"),
        ("bits: null", "4:31: schemes[0].bits: must be a whole number; given nothing"),
        ("gain: .inf", "4:31: schemes[0].gain: must be a number; given '.inf'"),
        ("enabled: 1", "4:34: schemes[0].enabled: must be true or false; given 1"),
        ("rates: 0.1", "4:32: schemes[0].rates: must be a list; given 0.1; write [0.1]"),
        ("rates: [0.1, a]", "4:38: schemes[0].rates[1]: must be a number; given 'a'"),
        ("limit: aut", "4:32: schemes[0].limit: must be a number or 'auto'; given 'aut'; did you mean 'auto'?"),
        ("layers: [a, 1]", "4:37: schemes[0].layers[1]: must be text; given 1; put it in quotes"),
        (
            "bitz: 1",
            (
                "4:25: schemes[0]: unknown key 'bitz'; did you mean 'bits'? "
                "(known: bits, gain, enabled, rates, deploy, limit, layers, name, label)"
            ),
        ),
    ],
)
def test_options_are_held_to_their_annotations(option: str, message: str) -> None:
    with more_plug_ins():
        assert problems(small(schemes=f"[{{name: knobs, {option}}}]")) == [f"small.yaml:{message}"]


def test_a_truth_is_no_rate_and_repeats_none() -> None:
    assert [line.partition("; given ")[2] for line in problems(small(bers="[true, 1, false, 0]"))] == [
        "true",
        "1",
        "false",
        "0",
    ]


def test_texts_of_any_length_and_character_stay_short_and_on_their_line() -> None:
    long = "x" * 900
    schemes = f'["{long}", "a\\nb", {{name: relu, "{long}": 1}}]'
    lines = problems(small(schemes=schemes, name=f'"{long}"') + f'"a\\e[0m{long}": 1\n')
    assert len(lines) == 5
    assert all(line.isprintable() and len(line) < 400 for line in lines)


def test_the_error_is_a_users_mistake_and_survives_pickling() -> None:
    with pytest.raises(FaultbenchError) as caught:
        parse_campaign("a: 1\na: 2\n", SOURCE)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, CampaignError)
    assert str(copy) == str(caught.value)
    assert copy.problems == caught.value.problems  # type: ignore[attr-defined]
    assert copy.exit_code == 2
