"""`-s key=value`."""

import pytest

from faultbench.campaign import parse_campaign
from tests.builders.campaign_texts import SOURCE, problems, small


def spec(*overrides: str, text: str = small()) -> dict[str, object]:
    return dict(parse_campaign(text, SOURCE, overrides).spec)


def test_a_value_is_replaced_and_the_rest_stays() -> None:
    assert spec("trials=7") == {**spec(), "trials": 7}


def test_a_list_is_replaced_whole() -> None:
    assert spec("bers=[1e-7,3e-7, 1e-6]")["bers"] == [1e-7, 3e-7, 1e-6]


def test_a_key_of_a_key_is_reached_whether_the_file_has_it_or_not() -> None:
    assert spec("training.schedule=paper")["training"] == {"schedule": "paper"}
    assert spec("training.schedule=paper", text=small(training="{schedule: fast}"))["training"] == {"schedule": "paper"}


def test_a_key_that_the_file_lacks_is_added() -> None:
    assert spec("bers=[1e-3]", text=small(bers=""))["bers"] == [1e-3]


def test_the_last_of_equal_overrides_wins() -> None:
    assert spec("trials=7", "trials=8")["trials"] == 8


def test_an_equals_sign_may_stand_in_the_value() -> None:
    written = spec("schemes=[{name: relu, label: a=b}]")["schemes"]
    assert written == [{"name": "relu", "label": "a=b"}]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trails=5", "unknown key 'trails'; did you mean 'trials'? (known: name, "),
        ("trials=many", "trials: must be a whole number; given 'many'"),
        ("trials=", "trials: must be a whole number; given nothing"),
        ("bers=[1e-6, 10]", "bers[1]: must be at most 0.5; given 10"),
        ("schemes=[ftclipact]", "schemes[0]: unknown scheme 'ftclipact'; did you mean 'ft_clipact'? (known: "),
        (
            "schemes=[{name: clip_act, granulrity: layer}]",
            "schemes[0]: unknown key 'granulrity'; did you mean 'granularity'?",
        ),
        ("schemes=[relu, relu]", "schemes[1]: repeats schemes[0], 'relu'; leave one out"),
        (
            "training.schedul=fast",
            (
                "training: unknown key 'schedul'; did you mean 'schedule'? "
                "(known: schedule, epochs, batch, learning_rate, tf32)"
            ),
        ),
        ("training.schedule=slow", "training.schedule: must be 'paper' or 'fast'; given 'slow'"),
        ("seed.of=1", "seed: must be a whole number; given a mapping"),
        ("schemes.0=relu", "schemes is a list, not a mapping; override it whole"),
        ("name.x=1", "name is 'small', not a mapping; override it whole"),
        ("bers=[1e-6", "bers: not YAML: "),
        ("bers=[*x]", "bers[0]: YAML aliases are refused; given 'x'; write the value out"),
        ("training={schedule: fast, schedule: paper}", "training: repeated key 'schedule'; first given at line 1"),
        ("trials", "an override reads key=value, such as trials=20"),
        ("=5", "an override reads key=value, such as trials=20"),
        ("training.=5", "an override reads key=value, such as trials=20"),
        ("", "an override reads key=value, such as trials=20"),
    ],
)
def test_an_error_names_the_override_in_place_of_a_position(override: str, message: str) -> None:
    (line,) = problems(small(), override)
    assert line.startswith(f"-s {override}: {message}")


def test_what_an_override_replaces_is_not_complained_about() -> None:
    text = small(trials="many", bers="[10]", schemes="[{name: nope}]")
    assert problems(text, "trials=1", "bers=[1e-6]", "schemes=[relu]") == []


def test_what_an_override_puts_in_place_of_an_alias_is_checked() -> None:
    first, second = problems(small(trials="*x"), "trials=0")
    assert first.startswith("small.yaml:6:9: trials: YAML aliases are refused")
    assert second == "-s trials=0: trials: must be at least 1; given 0"


def test_problems_of_the_file_come_first_and_keep_their_place() -> None:
    lines = problems(small(trials="0"), "batch=0", "seed=-1")
    assert [line.split(" ")[0] for line in lines] == ["small.yaml:6:9:", "-s", "-s"]


def test_an_override_of_a_file_that_is_no_mapping_adds_no_noise() -> None:
    assert problems("[a]", "trials=1") == ["small.yaml:1:1: must be a mapping; given a list"]


@pytest.mark.parametrize("override", ["trials=\n", "name='a\x1b[0mb'", "name=\udc80", "a\nb=1"])
def test_an_override_of_any_characters_is_told_on_one_line(override: str) -> None:
    lines = problems(small(), override)
    assert lines
    assert all(line.isprintable() for line in lines)
