"""Whatever a real results folder or baseline holds, every verb that goes on with it ends by itself and says why."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultbench.cli.main import _exit_code
from tests.laws.test_fuzz import few, plain
from tests.laws.test_fuzz_verbs import VALUES, ended, places, put

pytestmark = pytest.mark.slow

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"

SMALL = ("-s", "schemes=[relu]", "-s", "bers=[1e-5]", "-s", "images=20", "-s", "trials=2")

BASELINE = "base.json"

values = st.sampled_from(VALUES) | plain


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small real campaign's file, of its baseline and, in r/ci_small, of its results."""
    place = tmp_path_factory.mktemp("ran")
    for name in ("ci_small.yaml", "ci_small.safetensors"):
        shutil.copy(CAMPAIGNS / name, place)
    made = ("--baseline", str(place / BASELINE), "--update-baseline")
    arguments = ["check", str(place / "ci_small.yaml"), *SMALL, *made, "-o", str(place / "r"), "--engine=serial"]
    assert _exit_code(arguments, debug=False) == 0
    return place


@pytest.fixture
def copied(ran: Path, tmp_path: Path) -> Callable[[], Path]:
    """A function that gives a folder with the real results, as they were, in r, and their baseline beside it."""

    def copy() -> Path:
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        shutil.copytree(ran / "r", tmp_path / "r")
        shutil.copy(ran / BASELINE, tmp_path)
        return tmp_path

    return copy


def going_on(campaign: Path, place: Path) -> dict[str, tuple[str, ...]]:
    """Return commands that go on with the results of the small campaign in this folder, by the name of the verb."""
    where = (*SMALL, "-o", str(place / "r"))
    runs = (*where, "--engine=serial", "--progress=plain")
    held = ("--baseline", str(place / BASELINE), "--fail-if", "accuracy_mean < 0.01", "--junit", str(place / "j.xml"))
    return {
        "plan": ("plan", str(campaign), "--no-timing", *where),
        "replay": ("replay", str(place / "r" / "ci_small"), "relu@1e-5", "0"),
        "run": ("run", str(campaign), *runs),
        "check": ("check", str(campaign), *runs, *held),
        "overhead": ("overhead", str(campaign), *where, "--progress=plain"),
    }


CODES = {"replay": (0, 1, 2, 4), "check": (0, 1, 2, 3, 4)}
"""A replay of something else than was recorded differs from it, which is 1; a check may fail, or lack trials."""

TELLING = frozenset({"run", "check", "overhead"})
"""Verbs that tell of their work too, beside an error's one line."""

VERBS = ("plan", "replay", "run", "check", "overhead")


def gone_on(verb: str, ran: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> int:
    command = going_on(ran / "ci_small.yaml", place)[verb]
    return ended(command, capfd, codes=CODES.get(verb, (0, 2, 4)), is_told=verb not in TELLING)


def edit(path: Path, data: st.DataObject, value: Any) -> None:
    """Put a value in the place of another one in a JSON file."""
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(put(whole, data.draw(st.sampled_from([*places(whole)])), value)))


def test_a_real_folder_is_gone_on_with_by_every_verb(
    ran: Path, copied: Callable[[], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    place = copied()
    assert {verb: gone_on(verb, ran, place, capfd) for verb in VERBS} == dict.fromkeys(VERBS, 0)


@pytest.mark.parametrize("verb", VERBS)
@settings(few, max_examples=8)
@given(data=st.data(), value=values)
def test_verbs_take_or_refuse_a_manifest_edited_by_hand(
    verb: str, data: st.DataObject, value: Any, ran: Path, copied: Callable[[], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    place = copied()
    edit(place / "r" / "ci_small" / "manifest.json", data, value)
    gone_on(verb, ran, place, capfd)


@pytest.mark.parametrize("verb", VERBS)
@settings(few, max_examples=6)
@given(data=st.data(), value=values)
def test_verbs_take_or_refuse_a_journal_edited_by_hand(
    verb: str, data: st.DataObject, value: Any, ran: Path, copied: Callable[[], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    place = copied()
    (path,) = (place / "r" / "ci_small" / "journal").glob("*.jsonl")
    records = [json.loads(line.partition(b"\t")[0]) for line in path.read_bytes().splitlines()]
    number = data.draw(st.integers(0, len(records) - 1))
    records[number] = put(records[number], data.draw(st.sampled_from([*places(records[number])])), value)
    texts = [json.dumps(record).encode() for record in records]
    path.write_bytes(b"".join(b"%s\t%08x\n" % (text, zlib.crc32(text)) for text in texts))
    gone_on(verb, ran, place, capfd)


@settings(few, max_examples=30)
@given(data=st.data(), value=values)
def test_check_takes_or_refuses_a_baseline_edited_by_hand(
    data: st.DataObject, value: Any, ran: Path, copied: Callable[[], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    place = copied()
    edit(place / BASELINE, data, value)
    gone_on("check", ran, place, capfd)


@pytest.mark.parametrize("verb", VERBS)
@settings(few, max_examples=8)
@given(data=st.data())
def test_verbs_take_mend_or_refuse_any_file_that_is_damaged(
    verb: str, data: st.DataObject, ran: Path, copied: Callable[[], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    place = copied()
    files = sorted(path for path in (place / "r").rglob("*") if path.is_file())
    damage(data.draw(st.sampled_from(files)), data)
    gone_on(verb, ran, place, capfd)


def damage(path: Path, data: st.DataObject) -> None:
    """Empty, cut, alter, or remove a file, or put a folder or a link without an end in its place."""
    held = path.read_bytes()
    match data.draw(st.sampled_from(["empty", "cut", "altered", "missing", "folder", "link", "endless"])):
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(held[: len(held) // 2])
        case "altered" if held:
            at = data.draw(st.integers(0, len(held) - 1))
            path.write_bytes(held[:at] + bytes([held[at] ^ data.draw(st.integers(1, 255))]) + held[at + 1 :])
        case "folder":
            path.unlink()
            path.mkdir()
        case "link":
            path.unlink()
            path.symlink_to(path.name)
        case "endless":
            path.unlink()
            path.symlink_to("/dev/zero")
        case _:
            path.unlink()
