"""What an unquoted word means."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from faultbench.campaign.document.yaml_source import scalar_value


@pytest.mark.parametrize("word", ["1e-7", "1E-7", "1.0e-7", ".1e-6", "+1e-7", "0.0000001", "100e-9"])
def test_every_spelling_of_a_number_is_that_number(word: str) -> None:
    assert scalar_value(word) == 1e-7


@pytest.mark.parametrize(
    "word", [".nan", "nan", ".inf", "-.inf", "inf", "1e400", "-1e400", "9" * 5000, "0x" + "f" * 5000]
)
def test_what_is_not_finite_or_is_absurdly_large_stays_text(word: str) -> None:
    assert scalar_value(word) == word


@pytest.mark.parametrize(
    ("word", "value"), [("no", "no"), ("on", "on"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("1_000", "1_000")]
)
def test_words_that_only_yaml_1_1_takes_for_something_else_are_words(word: str, value: str) -> None:
    assert scalar_value(word) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e3", 1000.0),
        ("010", 10),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("~", None),
    ],
)
def test_the_core_schema_of_yaml_1_2_is_followed(word: str, value: object) -> None:
    assert scalar_value(word) == value
    assert type(scalar_value(word)) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_a_number_that_python_prints_comes_back_exactly(number: float) -> None:
    assert scalar_value(repr(number)) == number
    assert type(scalar_value(repr(number))) is type(number)


@given(st.text(st.sampled_from("0123456789+-.eExo_:~nulltrefas "), max_size=8))
def test_a_number_is_one_to_float_or_int_too(word: str) -> None:
    value = scalar_value(word)
    if isinstance(value, float):
        assert value == float(word)
        assert math.isfinite(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        assert value == int(word, 0 if word[:2] in ("0x", "0o") else 10)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_that_pyyaml_writes_are_read_alike(number: float) -> None:
    assert scalar_value(yaml.safe_dump(number).split()[0]) == number
