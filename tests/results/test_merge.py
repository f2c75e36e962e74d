"""Merging is a set union: no order, no counting, no other campaign."""

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from faultbench.output.export.table_files import write_tables
from faultbench.results.analysis.results import read_results
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.records import Quarantine
from faultbench.results.merge import merge
from faultbench.system.errors import FaultbenchError
from tests.builders.results import ArtificialCampaign, a_trial, an_overhead, write_journal

MADE = ArtificialCampaign()


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Three shards of a made-up campaign, each with a third of the records, golden runs in all of them."""
    folders = []
    for number in range(3):
        folder = MADE.write_manifest(tmp_path / f"part{number}")
        records = [
            record
            for index, record in enumerate(MADE.records)
            if index % 3 == number or type(record).__name__ == "Golden"
        ]
        write_journal(folder / "journal", "host", records)
        folders.append(folder)
    return folders


def content(folder: Path) -> dict[str, bytes]:
    paths = [*(folder / "journal").iterdir(), folder / "manifest.json"]
    return {path.name: path.read_bytes() for path in paths}


def tables(folder: Path, to: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in write_tables(read_results(folder), to)}


def test_shards_merged_in_any_order_are_the_whole(parts: list[Path], tmp_path: Path) -> None:
    whole = tables(MADE.write(tmp_path / "whole"), tmp_path / "tables")
    merged = []
    for number, order in enumerate(itertools.permutations(parts)):
        merge(tmp_path / f"out{number}", order)
        assert tables(tmp_path / f"out{number}", tmp_path / "tables") == whole
        merged.append(content(tmp_path / f"out{number}"))
    assert all(one == merged[0] for one in merged)


def test_parts_that_stop_by_themselves_are_merged_to_one_that_does(tmp_path: Path) -> None:
    until = {"accuracy_halfwidth": 0.1}
    few, many = (ArtificialCampaign(trials=n, until=until) for n in (6, 8))
    merge(tmp_path / "out", [few.write_manifest(tmp_path / "few"), many.write(tmp_path / "many")])
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["spec"]["trials"] == {
        "max": 8, "min": 5, "until": until,
    }  # fmt: skip
    assert read_results(tmp_path / "out").manifest.rule.until is not None


def test_a_part_that_stops_by_itself_is_not_merged_with_one_of_a_fixed_number(tmp_path: Path) -> None:
    fixed = ArtificialCampaign(trials=6).write(tmp_path / "fixed")
    adaptive = ArtificialCampaign(trials=6, until={"accuracy_halfwidth": 0.1}).write(tmp_path / "adaptive")
    with pytest.raises(FaultbenchError, match="asks for trials in another way than"):
        merge(tmp_path / "out", [fixed, adaptive])
    assert not (tmp_path / "out").exists()


def test_what_each_part_found_of_networks_is_kept_once(tmp_path: Path) -> None:
    parts = [MADE.write(tmp_path / name) for name in ("a", "b", "c")]
    for folder, found in zip(
        parts, (["q3.4 costs 12 points"], ["q3.4 costs 12 points", "q0.7 cuts bounds"], []), strict=True
    ):
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, "warnings": found}))
    merge(tmp_path / "out", parts)
    kept = read_results(tmp_path / "out").manifest.warnings
    assert list(kept) == ["q0.7 cuts bounds", "q3.4 costs 12 points"]


def test_merging_again_or_in_two_steps_changes_nothing(parts: list[Path], tmp_path: Path) -> None:
    merge(tmp_path / "once", parts)
    once = content(tmp_path / "once")
    merge(tmp_path / "once", [*parts, *parts])
    merge(tmp_path / "once", [tmp_path / "once"])
    assert content(tmp_path / "once") == once
    merge(tmp_path / "two", parts[:2])
    merge(tmp_path / "steps", [parts[2], tmp_path / "two"])
    assert content(tmp_path / "steps")["merged.jsonl"] == once["merged.jsonl"]


def test_what_is_merged_into_keeps_its_own(parts: list[Path]) -> None:
    own = read_journal(parts[0] / "journal").trials
    merge(parts[0], parts[1:])
    assert read_journal(parts[0] / "journal").trials == dict(own) | {
        name: trial for part in parts[1:] for name, trial in read_journal(part / "journal").trials.items()
    }
    assert (parts[0] / "journal" / "host.jsonl").exists()


@pytest.mark.parametrize(("key", "value"), [("identity", "1" * 32), ("campaign", "other")])
def test_another_campaign_is_refused_and_nothing_is_written(
    parts: list[Path], tmp_path: Path, key: str, value: str
) -> None:
    path = parts[1] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(FaultbenchError, match=f"results of another campaign than .*: {key} "):
        merge(tmp_path / "out", parts)
    assert not (tmp_path / "out").exists()


def test_contradicting_trials_are_refused(parts: list[Path], tmp_path: Path) -> None:
    cell = MADE.cells[0]["cell"]
    write_journal(parts[0] / "journal", "a", [a_trial(cell=cell, trial=77)])
    write_journal(parts[1] / "journal", "b", [a_trial(cell=cell, trial=77, n_flips=4)])
    with pytest.raises(FaultbenchError, match="trial 77 recorded twice with different outcomes"):
        merge(tmp_path / "out", parts)


def test_labels_that_mean_two_things_are_refused(parts: list[Path], tmp_path: Path) -> None:
    path = parts[1] / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["cells"][0]["cell"] = "a" * 32
    path.write_text(json.dumps(manifest))
    with pytest.raises(FaultbenchError, match="means one thing in one folder and another in another"):
        merge(tmp_path / "out", parts)


def test_campaigns_that_grew_apart_give_all_cells_and_the_most_trials(tmp_path: Path) -> None:
    small = ArtificialCampaign(bers=(1e-6,), trials=2).write(tmp_path / "small")
    large = ArtificialCampaign(schemes=("relu",), bers=(1e-6, 1e-3), trials=7).write_manifest(tmp_path / "large")
    merge(tmp_path / "out", [small, large])
    merged = read_results(tmp_path / "out")
    assert len(merged.cells) == 3  # relu and clip_act at 1e-6, relu at 1e-3
    assert merged.manifest.trials == 7
    assert merged.cells.limited.all()


def test_quarantines_and_measurements_are_merged_whatever_the_order(parts: list[Path], tmp_path: Path) -> None:
    cell, subject = MADE.cells[0]["cell"], MADE.cells[0]["subject"]
    for part, number in zip(parts, (1, 2, 3), strict=True):
        given_up = Quarantine(cell=cell, trial=88, n_deaths=2 + number, reason="killed")
        write_journal(part / "journal", "z", [an_overhead(subject=subject, fit_seconds=float(number)), given_up])
    merge(tmp_path / "there", parts)
    merge(tmp_path / "back", parts[::-1])
    assert content(tmp_path / "there") == content(tmp_path / "back")
    assert list(read_journal(tmp_path / "there" / "journal").quarantined) == [(cell, 88)]


def test_artifacts_are_copied_unless_they_are_there_or_unfinished(parts: list[Path], tmp_path: Path) -> None:
    for part, names in zip(parts, (["bounds-a", "partial-x"], ["bounds-a", "weights-b"], []), strict=True):
        (part / "artifacts").mkdir()
        for name in names:
            (part / "artifacts" / f"{name}.safetensors").write_text(part.parent.name)
    merge(tmp_path / "out", parts)
    copied = {path.name: path.read_text() for path in (tmp_path / "out" / "artifacts").iterdir()}
    assert copied == {"bounds-a.safetensors": "part0", "weights-b.safetensors": "part1"}


def test_a_folder_of_something_else_is_not_merged_into(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    shutil.copy(parts[0] / "manifest.json", tmp_path / "out" / "thesis.tex")
    with pytest.raises(FaultbenchError, match="holds no results"):
        merge(tmp_path / "out", parts)


A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("data", "stored weights"),
        ("data", "test images"),
        ("made_of", "stored weights"),
        ("made_of", "test images"),
        ("made_of", "fitted bounds"),
        ("made_of", "buffers"),
    ],
)
def test_results_of_other_weights_or_images_are_refused_and_nothing_is_written(
    parts: list[Path], tmp_path: Path, key: str, kind: str
) -> None:
    for part, digest in zip(parts, (A, A, B), strict=True):
        rewrite(part, **{key: {kind: {"digits/net/q15.16": digest}}})
    with pytest.raises(
        FaultbenchError, match=rf"part2.* cannot be merged with .*part0.*: made with other {kind} of digi"
    ):
        merge(tmp_path / "out", parts)
    assert not (tmp_path / "out").exists()
    merge(tmp_path / "out", parts[:2])


def test_a_merged_folder_says_what_all_its_parts_were_made_of(parts: list[Path], tmp_path: Path) -> None:
    for number, part in enumerate(parts[:2]):  # the third is of a version that said nothing
        rewrite(part, data={"stored weights": {f"n{number}": A}, "other": {f"n{number}": 7}},
                made_of={"test images": {f"k{number}": B, "k": C}})  # fmt: skip
    merge(tmp_path / "out", parts)
    merged = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert merged["data"] == {"stored weights": {"n0": A, "n1": A}, "other": {"n0": 7, "n1": 7}}
    assert merged["made_of"] == {"test images": {"k": C, "k0": B, "k1": B}}
    rewrite(parts[2], made_of={"test images": {"k1": C}})
    with pytest.raises(FaultbenchError, match="made with other test images of k1"):
        merge(tmp_path / "out", [parts[2]])


def test_artifacts_that_are_no_files_are_left_out(parts: list[Path], tmp_path: Path) -> None:
    (parts[0] / "artifacts").mkdir()
    os.mkfifo(parts[0] / "artifacts" / "bounds-a.safetensors")
    merge(tmp_path / "out", parts)
    assert not (tmp_path / "out" / "artifacts").exists()
