"""Whatever is done to a campaign file, it is a campaign or a CampaignError of printable lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultbench.campaign import Campaign, CampaignError, parse_campaign
from tests.builders.campaign_texts import more_plug_ins

FULL = """\
name: full
seed: 2024
datasets: [digits, {name: shapes, size: 16, label: "large"}]
models:
  - digits_cnn
  - {name: resnet20, when: {dataset: [digits, large]}}
schemes:
  - relu
  - {name: knobs, bits: 3, rates: [1e-7, 0.5], limit: auto, layers: [a]}
  - {name: clip_act, granularity: channel, label: "Clip-Act (channel)"}
formats: [q15.16, float32]
bers: [1e-7, 3e-7]
trials: 5
images: all
training: {schedule: paper}
"""

SCRAPS = st.sampled_from(
    [
        *"[]{}:,#&*!|>%@`?\"'\n\t \x00\x07\ufeffé",
        *("- ", ": ", "<<: ", "---\n", "...\n", "*a", "&a ", "!x ", "{}", "[]", "[" * 40),
        *("null", "true", "1e999", ".nan", "-1", "9" * 200, "0x" + "f" * 5000, "name", '"\\ud800"', '"\\U99999999"'),
    ]
) | st.text(max_size=5)

EDITS = st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), SCRAPS), min_size=1, max_size=4)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["relu", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True, scope="module")
def _more_plug_ins() -> Iterator[None]:
    with more_plug_ins():
        yield


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Text with pieces cut out and scraps put in."""
    for start, n_cut, scrap in edits:
        text = text[:start] + scrap + text[start + n_cut :]
    return text


def outcome(text: str, *overrides: str) -> Campaign | CampaignError:
    try:
        return parse_campaign(text, Path("full.yaml"), overrides)
    except CampaignError as error:
        return error


def check(found: Campaign | CampaignError) -> None:
    if isinstance(found, Campaign):
        keys = [cell.key for cell in found.cells]
        assert keys
        assert len(set(keys)) == len(keys)
    else:
        lines = str(found).splitlines()
        assert lines
        assert len(lines) == len(found.problems) == len(set(found.problems))
        assert all(line.isprintable() for line in lines)


def test_the_whole_file_is_right_before_anything_is_done_to_it() -> None:
    found = outcome(FULL)
    assert isinstance(found, Campaign), str(found)
    assert len(found.cells) == 2 * 2 * 3 * 2 * 2


@pytest.mark.slow
@settings(max_examples=400)
@given(EDITS)
def test_an_edited_file_is_a_campaign_or_an_error(edits: list[tuple[int, int, str]]) -> None:
    check(outcome(edited(FULL, edits)))


@given(st.sampled_from(["plugins", *(line.partition(":")[0].strip(" -") for line in FULL.splitlines())]), VALUES)
def test_any_value_of_any_key_is_a_campaign_or_an_error(key: str, value: Any) -> None:
    check(outcome(FULL, f"{key}={value}"))


@given(st.text(max_size=30))
def test_any_override_is_a_campaign_or_an_error(assignment: str) -> None:
    check(outcome(FULL, assignment))
