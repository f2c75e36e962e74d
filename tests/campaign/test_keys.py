"""Keys: equal for all that means the same, different for all that does not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.campaign import RESULTS_VERSION, Campaign, canonical_text, digest, parse_campaign
from tests.builders.campaign_texts import SOURCE, more_plug_ins, small

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
BERS = st.floats(1e-12, 0.5)


@pytest.fixture(autouse=True, scope="module")
def _more_plug_ins() -> Iterator[None]:
    with more_plug_ins():
        yield


def campaign(source: Path = SOURCE, **replaced: str) -> Campaign:
    return parse_campaign(small(**replaced), source)


def keys(found: Campaign) -> set[str]:
    return {cell.key for cell in found.cells}


def shuffled(value: Any, rng: Any) -> Any:
    """The value with the keys of its mappings in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(inner, rng)) for key, inner in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(inner, rng) for inner in value] if isinstance(value, list) else value


@given(PLAIN, st.randoms())
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: Any, rng: Any) -> None:
    assert canonical_text(shuffled(value, rng)) == canonical_text(value)


@given(PLAIN)
def test_canonical_text_is_ascii_json_that_reads_back_exactly(value: Any) -> None:
    text = canonical_text(value)
    assert text.isascii()
    assert canonical_text(json.loads(text)) == text


@given(PLAIN, PLAIN)
def test_records_that_differ_have_different_keys(one: Any, other: Any) -> None:
    assert (canonical_text(one) == canonical_text(other)) == (digest(one) == digest(other))


def test_canonical_text_has_sorted_keys_and_no_spaces() -> None:
    assert (
        canonical_text({"b": [1, 1e-06], "a": {"d": None, "c": "é"}}) == '{"a":{"c":"\\u00e9","d":null},"b":[1,1e-06]}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_json_has_no_word_for_has_no_canonical_text(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_text(value)


def test_a_key_is_32_hex_digits_of_the_sha256_of_the_record() -> None:
    # `printf '{"a":1}' | sha256sum`
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad808"


def test_the_record_of_a_cell_is_what_the_law_says() -> None:
    cell = campaign(schemes="[clip_act]", bers="[1e-6]", seed="7", images="100").cells[0]
    record = {
        "law": RESULTS_VERSION,
        "dataset": {"name": "digits", "options": {}},
        "model": {"name": "digits_cnn", "options": {}},
        "scheme": {"name": "clip_act", "options": {"granularity": "layer", "quantile": 1.0, "nan_policy": "zero"}},
        "guard": {"name": "none", "options": {}},
        "format": {"name": "q15.16", "options": {}},
        "fault": {
            "name": "bernoulli",
            "options": {"targets": ["weights", "biases", "bounds"], "layers": ["*"], "bits": None},
        },
        "images": 100,
        "batch": None,
        "seed": 7,
        "schedule": "fast",
        "weights": None,
    }
    assert cell.subject.key == digest(record)
    assert cell.key == digest({**record, "ber": 1e-6})


@given(BERS, st.sampled_from(["{!r}", "{:.17e}", "{:.40f}", "+{!r}"]))
def test_a_cell_does_not_depend_on_how_its_ber_is_spelled(ber: float, spelling: str) -> None:
    spelled = spelling.format(ber)
    if float(spelled) == ber:
        assert keys(campaign(bers=f"[{spelled}]")) == keys(campaign(bers=f"[{ber!r}]"))


@given(st.permutations(["relu", "clip_act", "knobs", "ranger"]), st.permutations([1e-7, 1e-6, 3e-6]), st.randoms())
def test_cells_do_not_depend_on_the_order_of_axes_entries_or_keys(
    schemes: list[str], bers: list[float], rng: Any
) -> None:
    straight = small(schemes="[relu, clip_act, knobs, ranger]", bers="[1e-7, 1e-6, 3e-6]")
    lines = small(schemes=f"[{', '.join(schemes)}]", bers=str(bers)).splitlines(keepends=True)
    rng.shuffle(lines)
    assert keys(parse_campaign("".join(lines), SOURCE)) == keys(parse_campaign(straight, SOURCE))


@given(st.lists(BERS, min_size=1, max_size=4, unique=True), BERS)
def test_a_cell_does_not_depend_on_the_rest_of_its_grid(bers: list[float], ber: float) -> None:
    grid = campaign(bers=str([*bers, *([] if ber in bers else [ber])]), formats="[q15.16, float32]", trials="9")
    assert keys(campaign(bers=f"[{ber!r}]")) <= keys(grid)


@pytest.mark.parametrize(
    "same",
    [
        {"name": "other"},
        {"trials": "99"},
        {"schemes": "[{name: relu, label: unprotected}, {label: x, name: clip_act}]"},
        {"schemes": "[relu, {name: clip_act, granularity: layer}]"},
        {"guards": "[none]", "formats": "[q15.16]", "batch": "auto", "images": "all", "training": "{schedule: fast}"},
        {"models": "[{name: digits_cnn, when: {dataset: digits}}]"},
    ],
)
def test_what_changes_no_meaning_changes_no_key(same: dict[str, str]) -> None:
    assert keys(campaign(**same)) == keys(campaign())
    assert keys(campaign(Path("elsewhere/other.yaml"), **same)) == keys(campaign())


@pytest.mark.parametrize(
    "different",
    [
        {"datasets": "[shapes]"},
        {"models": "[resnet20]"},
        {"schemes": "[ranger, {name: clip_act, granularity: channel}]"},
        {"formats": "[float32]"},
        {"faults": "[{name: bernoulli, targets: [weights]}]"},
        {"bers": "[2e-6, 2e-5]"},
        {"seed": "1"},
        {"batch": "100"},
        {"images": "100"},
        {"training": "{schedule: paper}"},
        {"training": "{epochs: 3}"},
        {"training": "{batch: 3}"},
        {"training": "{learning_rate: 0.5}"},
        {"training": "{tf32: true}"},
    ],
)
def test_what_changes_the_meaning_changes_every_key(different: dict[str, str]) -> None:
    assert not keys(campaign(**different)) & keys(campaign())


def test_weights_enter_a_key_by_their_content_and_not_by_their_path(tmp_path: Path) -> None:
    def key(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        return campaign(tmp_path / "c.yaml", models=f"[{{name: digits_cnn, weights: {name}}}]").subjects[0].key

    assert key("a", "one") == key("b", "one")
    assert key("a", "one") != key("a", "two")
    assert key("a", "one") != campaign().subjects[0].key


@pytest.mark.parametrize("grown", [{"trials": "99"}, {"bers": "[1e-3]"}, {"schemes": "[ranger]"}, {"name": "x"}])
def test_a_campaign_keeps_its_identity_when_its_axes_and_trials_change(grown: dict[str, str]) -> None:
    assert campaign(**grown).identity == campaign().identity


@pytest.mark.parametrize(
    "other",
    [{"seed": "1"}, {"images": "9"}, {"batch": "9"}, {"training": "{schedule: paper}"}, {"training": "{epochs: 3}"}],
)
def test_a_campaign_is_another_with_another_seed_images_batch_or_training(other: dict[str, str]) -> None:
    assert campaign(**other).identity != campaign().identity


def test_training_that_is_left_open_is_not_written_so_that_older_folders_go_on() -> None:
    assert campaign().spec["training"] == {"schedule": "fast"}
    assert campaign(training="{epochs: 3}").spec["training"] == {"schedule": "fast", "epochs": 3}
    assert keys(campaign(training="{tf32: false}")) == keys(campaign())


def test_a_changed_law_changes_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = campaign()
    old = keys(before)
    monkeypatch.setattr("faultbench.campaign.cells.RESULTS_VERSION", RESULTS_VERSION + 1)
    monkeypatch.setattr("faultbench.campaign.loading.RESULTS_VERSION", RESULTS_VERSION + 1)
    assert not keys(campaign()) & old
    assert campaign().identity != before.identity
