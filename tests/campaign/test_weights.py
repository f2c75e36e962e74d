"""What a campaign says of given weights: checked with its place, and part of a key as far as it changes what runs."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from faultbench.campaign import CampaignError, Subject, parse_campaign
from tests.builders.campaign_texts import problems, small

NORMALISED = "normalisation: {mean: [0.5], std: [0.25]}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where a campaign file would lie, beside a file of weights."""
    (tmp_path / "w.pt").write_bytes(b"abc")
    return tmp_path / "c.yaml"


def text(weights: str) -> str:
    return small(models=f"[{{name: digits_cnn, weights: {weights}}}]")


def subject(weights: str, source: Path) -> Subject:
    return parse_campaign(text(weights), source).subjects[0]


@pytest.mark.parametrize(
    ("weights", "at", "message"),
    [
        ("{file: no.pt}", "3:45: models[0].weights.file", "no such file; given 'no.pt'; relative paths start"),
        ("{keys: {a: b}}", "3:38: models[0].weights", "missing key 'file'"),
        ("{file: w.pt, mean: [1]}", "3:51: models[0].weights", "unknown key 'mean'"),
        ("{file: w.pt, keys: {a: 1}}", "3:61: models[0].weights.keys.a", "must be text; given 1"),
        ("{file: w.pt, keys: [a]}", "3:57: models[0].weights.keys", "must be a mapping"),
        (
            "{file: w.pt, normalisation: {mean: [0.5]}}",
            "3:66: models[0].weights.normalisation",
            "missing key 'std': one number above 0 per channel",
        ),
        (
            "{file: w.pt, normalisation: {mean: [0, 0, 0], std: [1, 1]}}",
            "3:66: models[0].weights.normalisation",
            "mean has 3 channels, std has 2: give one number per channel in both",
        ),
        (
            "{file: w.pt, normalisation: {mean: [0], std: [0]}}",
            "3:84: models[0].weights.normalisation.std[0]",
            "must be above 0; given 0",
        ),
        (
            "{file: w.pt, normalisation: {mean: [0], std: [-0.2]}}",
            "3:84: models[0].weights.normalisation.std[0]",
            "must be above 0; given -0.2",
        ),
        (
            "{file: w.pt, golden_accuracy: 91.73}",
            "3:68: models[0].weights.golden_accuracy",
            "must be at most 1.0; given 91.73",
        ),
        ("{file: w.pt, tolerance: -1}", "3:62: models[0].weights.tolerance", "must be at least 0; given -1"),
        ("{file: w.pt, drop: n_averaged}", "3:57: models[0].weights.drop", "must be a list"),
        ("{file: w.pt, drop: ['']}", "3:58: models[0].weights.drop[0]", "must be"),
        ("{file: w.pt, state_dict: [a]}", "3:63: models[0].weights.state_dict", "must be text"),
        ("[w.pt]", "3:38: models[0].weights", "must be text or a mapping; given a list"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(weights: str, at: str, message: str, source: Path) -> None:
    (line,) = problems(text(weights), source=source)
    assert line.startswith(f"{source}:{at}: {message}"), line


def test_infinite_means_are_refused(source: Path) -> None:
    for number in (".inf", ".nan"):
        assert problems(text(f"{{file: w.pt, normalisation: {{mean: [{number}], std: [1]}}}}"), source=source)


def test_a_file_outside_of_the_campaigns_folder_needs_leave(source: Path, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = tmp_path / "inner" / "c.yaml"
    wanted = text("{file: ../w.pt}")
    with pytest.raises(CampaignError, match=r"weights\.file: outside of the campaign's folder; .* add --allow-outside"):
        parse_campaign(wanted, inner, allow_outside=False)
    assert parse_campaign(wanted, inner).subjects[0].weights


def test_a_plain_path_and_a_mapping_of_it_alone_are_known_by_the_files_digest(source: Path) -> None:
    plain, mapping = subject("w.pt", source), subject("{file: w.pt}", source)
    assert plain.record["weights"] == hashlib.sha256(b"abc").hexdigest()
    assert mapping.key == plain.key


@pytest.mark.parametrize(
    "weights",
    [
        "{file: w.pt, keys: {module.: ''}}",
        "{file: w.pt, drop: [n_averaged]}",
        "{file: w.pt, state_dict: model}",
        f"{{file: w.pt, {NORMALISED}}}",
        f"{{file: w.pt, keys: {{module.: ''}}, {NORMALISED}}}",
        "{file: w.pt, normalisation: {mean: [0.5], std: [0.5]}}",
        "{file: w.pt, normalisation: {mean: [0.25], std: [0.25]}}",
    ],
)
def test_what_changes_the_network_that_runs_changes_the_key(weights: str, source: Path) -> None:
    others = ["w.pt", f"{{file: w.pt, keys: {{a.: ''}}, {NORMALISED}}}"]
    assert subject(weights, source).key not in {subject(other, source).key for other in others}


def test_a_declared_accuracy_changes_no_key(source: Path) -> None:
    declared = subject(f"{{file: w.pt, {NORMALISED}, golden_accuracy: 0.9, tolerance: 0.1}}", source)
    assert declared.key == subject(f"{{file: w.pt, {NORMALISED}}}", source).key


def test_the_same_numbers_and_prefixes_otherwise_written_are_the_same(source: Path) -> None:
    one = "{file: w.pt, keys: {a: b, c: d}, normalisation: {mean: [0, 1], std: [1, 2]}}"
    other = "{normalisation: {std: [1.0, 2.0], mean: [0.0, 1.0]}, keys: {c: d, a: b}, file: ./w.pt}"
    assert subject(one, source).key == subject(other, source).key


def test_entries_that_differ_in_their_normalisation_are_no_repeats(source: Path) -> None:
    raw, normalised = "{name: digits_cnn, weights: w.pt}", f"{{file: w.pt, {NORMALISED}}}"
    models = f"[{raw}, {{name: digits_cnn, label: other, weights: {normalised}}}]"
    assert not problems(small(models=models), source=source)
    (line,) = problems(small(models=f"[{raw}, {raw[:-1]}, label: other}}]"), source=source)
    assert "models[1]: repeats models[0]" in line


def test_all_of_it_is_written_out(source: Path) -> None:
    campaign = parse_campaign(text(f"{{file: w.pt, keys: {{module.: ''}}, {NORMALISED}}}"), source)
    assert campaign.spec["models"][0]["weights"] == {
        "file": "w.pt",
        "keys": {"module.": ""},
        "drop": [],
        "normalisation": {"mean": [0.5], "std": [0.25]},
        "tolerance": 0.005,
    }
    assert parse_campaign(json.dumps(campaign.spec), source) == campaign


def test_an_empty_list_of_names_to_drop_changes_no_key(source: Path) -> None:
    assert subject("{file: w.pt, drop: []}", source).key == subject("w.pt", source).key
    assert subject("{file: w.pt, drop: [b, a]}", source).key == subject("{file: w.pt, drop: [a, b, a]}", source).key


@pytest.mark.parametrize("kind", ["empty", "huge", "pipe", "folder", "device"])
def test_what_is_no_file_of_weights_is_refused_unread(kind: str, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"
    if kind == "empty":
        path.touch()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(40 * 10**9)  # a hole: it takes no room on the disk, but a minute to read
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    reason = {"empty": "an empty file", "huge": "40,000,000,000 bytes; a file of weights has at most 8,589,934,592"}
    (line,) = problems(text("{file: odd.pt}"), source=source)
    assert (
        f"models[0].weights.file: {reason.get(kind, 'not a regular file')}; given 'odd.pt'; relative paths start"
        in line
    )
