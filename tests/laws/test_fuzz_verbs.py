"""Whatever a results folder holds, every verb that reads it ends with 0, or in one line with 2 or 4."""

import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultbench.cli.main import main
from tests.builders.results import ArtificialCampaign
from tests.laws.test_fuzz import few, plain

MADE = ArtificialCampaign(bers=(1e-6, 1e-5), trials=3)

VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**18, 2**70, 10**400, float("nan"), float("inf"), "", "x" * 200_000, [], {}, [1],
    {"a": 1}, "\x1b]0;pwned\x07", "a\n\\input{/etc/passwd}", "../../etc", ["x"] * 3, [[[[[]]]]], "=cmd|'x'!A0",
    "|\u202e<b>", "$\\frac", "[/x]",
]  # fmt: skip
"""What hand edits put in the place of something else."""

READING = [
    ("status",), ("export", "--format", "latex"), ("export", "--format", "markdown"), ("compare", "relu", "clip_act"),
    ("export",), ("report",), ("plot", "--only", "accuracy"),
]  # fmt: skip
N_QUICK = 3
"""The first of them, which take milliseconds; the others are asked one example in ten."""


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in plain values; of a list the first two."""
    yield where
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*where, key))


def put(whole: Any, where: tuple[Any, ...], value: Any) -> Any:
    """The whole with another value at a place."""
    if not where:
        return value
    holder = whole
    for step in where[:-1]:
        holder = holder[step]
    holder[where[-1]] = value
    return whole


def outcome(folder: Path, verb: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> int:
    """The exit code of a verb on the folder; what it prints must be printable, and an error one line."""
    name, *options = verb
    return ended((name, str(folder), *options), capfd)


def ended(
    command: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
    *,
    codes: tuple[int, ...] = (0, 2, 4),
    is_told: bool = True,
) -> int:
    """The exit code of a command, one of these; is_told asks that it prints nothing beside an error's one line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["faultbench", *command])
        with pytest.raises(SystemExit) as raised:
            main()
    out, err = capfd.readouterr()
    code = int(raised.value.code or 0)
    assert all(line.replace("\t", "").isprintable() for line in (out + err).split("\n")), command
    assert "Traceback" not in out + err
    assert "faultbench: unexpected " not in err, (command, err[-500:])  # what the last handler says of a defect
    assert code in codes, (command, code, err[-500:])
    if code in (2, 4):
        assert err, command
    if code and is_told:
        assert len(err) < 3000, (command, err[-500:])
        assert err.count("\n") == 1, (command, err[-500:])
    return code


def all_verbs(folder: Path, capfd: pytest.CaptureFixture[str], *, is_slow: bool) -> None:
    """Read the folder by one verb, and by the others if that finds it sound."""
    first, *others = READING if is_slow else READING[:N_QUICK]
    if outcome(folder, first, capfd) == 0:
        for verb in others:
            outcome(folder, verb, capfd)
    shutil.rmtree(folder.parent / "out", ignore_errors=True)
    outcome(folder.parent / "out", ("merge", str(folder)), capfd)


def a_manifest() -> dict[str, Any]:
    """One with every key that verbs read."""
    entry = [{"name": "x", "label": "x"}]
    spec = {
        "name": "made", "seed": 0, "plugins": [], "datasets": entry, "models": entry, "guards": entry, "formats": entry,
        "faults": [{"name": "bernoulli", "label": "bernoulli"}], "bers": [1e-6, 1e-5], "trials": 3, "images": "all",
        "sampling": "plain", "batch": "auto", "training": {"schedule": "fast"},
        "schemes": [{"name": name, "label": name} for name in MADE.schemes],
    }  # fmt: skip
    return {
        "faultbench": "0.1", "campaign": "made", "source": "/a/made.yaml", "identity": "0" * 32, "trials": 3,
        "written": "2026-01-01", "command": ["faultbench", "run"], "execution": {"device": "cpu", "memory_bytes": 7},
        "environment": {"torch": "2.11"}, "data": {"test images": {"digits": "aa"}}, "plugins": {}, "spec": spec,
        "warnings": ["told"], "memory": [], "declared_accuracies": [], "cells": MADE.cells,
    }  # fmt: skip


def written(root: Path, manifest: Any) -> Path:
    """The made results with another manifest."""
    folder = root / "made"
    shutil.rmtree(folder, ignore_errors=True)
    MADE.write(root)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_sound_folder_is_read_by_every_verb(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path, a_manifest())
    assert {outcome(folder, verb, capfd) for verb in READING} == {0}


@pytest.mark.slow
@settings(few, max_examples=60)
@given(where=st.sampled_from([*places(a_manifest())]), value=st.sampled_from(VALUES) | plain, turn=st.integers(0, 9))
def test_every_verb_reads_or_refuses_a_manifest_edited_by_hand(
    where: tuple[Any, ...], value: Any, turn: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    all_verbs(written(tmp_path, put(a_manifest(), where, value)), capfd, is_slow=turn == 9)


@pytest.mark.slow
@settings(few, max_examples=30)
@given(data=st.data(), value=st.sampled_from(VALUES) | plain, turn=st.integers(0, 9))
def test_every_verb_reads_or_refuses_a_journal_edited_by_hand(
    data: st.DataObject, value: Any, turn: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path, a_manifest())
    records = [record.to_record() for record in MADE.records]
    number = data.draw(st.integers(0, len(records) - 1))
    records[number] = put(records[number], data.draw(st.sampled_from([*places(records[number])])), value)
    texts = [json.dumps(record).encode() for record in records]
    lines = [b"%s\t%08x\n" % (text, zlib.crc32(text)) for text in texts]
    (folder / "journal" / "made.jsonl").write_bytes(b"".join(lines))
    all_verbs(folder, capfd, is_slow=turn == 9)


@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "folder", "huge", "deep", "twice", "two names"])
def test_what_is_no_manifest_is_refused_at_once(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path, a_manifest())
    path, manifest = folder / "manifest.json", a_manifest()
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "/dev/zero":
            path.symlink_to(kind)
        case "folder":
            path.mkdir()
        case "huge":
            path.touch()
            os.truncate(path, 2**40)
        case "deep":
            path.write_text(json.dumps({**manifest, "more": 0}).replace("0}", "[" * 99_999 + "]" * 99_999 + "}"))
        case "twice":
            path.write_text(json.dumps({**manifest, "cells": manifest["cells"][:1] * 2}))
        case "two names":
            again = {**manifest["cells"][0], "cell": "f" * 32}
            path.write_text(json.dumps({**manifest, "cells": [manifest["cells"][0], again]}))
    for verb in READING[:4]:
        assert outcome(folder, verb, capfd) == 2


def test_a_pipe_among_the_journals_is_refused_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path, a_manifest())
    os.mkfifo(folder / "journal" / "pipe.jsonl")
    assert outcome(folder, ("status",), capfd) == 2
