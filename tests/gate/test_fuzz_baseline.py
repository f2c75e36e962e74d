"""Whatever a baseline holds: it is read and compared, or refused in one line; never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.gate.baseline import Baseline
from faultbench.gate.baseline_file import read_baseline, write_baseline
from faultbench.gate.judgement import Judgement
from faultbench.gate.text import markdown_text, table_text
from faultbench.gate.verdicts import judge_cells
from faultbench.system.errors import FaultbenchError
from tests.builders.baselines import a_baseline, a_cell, a_run
from tests.laws.test_fuzz import edited, edits, few, plain

CELLS = [a_cell((90, 80, 70), scheme=scheme) for scheme in ("relu", "clip_act")]
RUN = a_run(*CELLS)


def written(folder: Path) -> bytes:
    path = folder / "good.json"
    write_baseline(a_baseline(*CELLS), path)
    return path.read_bytes()


def outcome(data: bytes, folder: Path) -> int:
    """The exit code of a check of the run against a baseline of these bytes, as far as the baseline is concerned."""
    path = folder / "fuzz.json"
    path.write_bytes(data)
    try:
        baseline = read_baseline(path)
    except FaultbenchError as error:
        refusal, exit_code = str(error), error.exit_code
    else:
        return compared(baseline, path)
    assert len(refusal.splitlines()) == 1
    assert refusal.isprintable()
    return exit_code


def compared(baseline: Baseline, path: Path) -> int:
    judgement = Judgement("made", path, judge_cells(baseline, RUN, 0.005), [], [])
    assert table_text(judgement)
    assert markdown_text(judgement)
    return judgement.exit_code


def test_the_whole_file_passes(tmp_path: Path) -> None:
    assert outcome(written(tmp_path), tmp_path) == 0


@pytest.mark.slow
@few
@given(changes=edits)
def test_a_mutated_baseline_is_compared_or_refused(changes: list[tuple[float, int, str]], tmp_path: Path) -> None:
    text = edited(written(tmp_path).decode(), changes)
    assert outcome(text.encode("utf-8", "surrogatepass"), tmp_path) in (0, 1, 2)


@few
@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_a_baseline_with_a_damaged_byte_is_compared_or_refused(place: float, flipped: int, tmp_path: Path) -> None:
    data = bytearray(written(tmp_path))
    at = int(place * len(data))
    data[at] ^= flipped
    assert outcome(bytes(data), tmp_path) in (0, 1, 2)


def test_every_truncated_baseline_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path).rstrip()
    assert {outcome(data[:n_kept], tmp_path) for n_kept in range(len(data))} == {2}


def test_every_flipped_bit_of_outcomes_is_refused_or_fails(tmp_path: Path) -> None:
    data = written(tmp_path)
    start = data.index(b'"flips": "') + len(b'"flips": "')
    end = data.index(b'"}', start)
    for at in range(start, end):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            assert outcome(bytes(changed), tmp_path) in (1, 2), (at, bit)


@few
@given(path=st.lists(st.integers(0, 20), max_size=4), value=plain)
def test_a_baseline_with_anything_in_it_is_compared_or_refused(path: list[int], value: Any, tmp_path: Path) -> None:
    whole = {"whole": json.loads(written(tmp_path))}
    holder: Any = whole
    key: Any = "whole"
    for step in path:
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder, key = inner, (sorted(inner)[step % len(inner)] if isinstance(inner, dict) else step % len(inner))
    holder[key] = value
    assert outcome(json.dumps(whole["whole"]).encode(), tmp_path) in (0, 1, 2)


@few
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_baseline_are_refused(data: bytes, tmp_path: Path) -> None:
    assert outcome(data, tmp_path) == 2
