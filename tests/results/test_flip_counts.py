"""Counts of flips that no trials can give are left out with a remark, quickly, whatever their checksum says."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faultbench.results.analysis.results import read_results
from faultbench.results.flip_counts import ACCURACY_UNIT, FOLDER, WHOLE_MEMORY, FlipCounts, save_counts
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, write_journal

ONE = ArtificialCampaign(bers=(1e-6,), schemes=("relu",), trials=3)
CELL, SUBJECT = ONE.cells[0]["cell"], ONE.cells[0]["subject"]
RIGHT = round(ACCURACY_UNIT * 178 / 200)


def a_folder(root: Path) -> Path:
    """A results folder with three trials, all of which failed, and what flips they held."""
    folder = ONE.write_manifest(root)
    trials = [a_trial(cell=CELL, trial=number) for number in range(3)]
    write_journal(folder / "journal", "one", [a_golden(subject=SUBJECT), *trials])
    rows = np.array([[0, 3, 0, 2, 2, 2, 2 * RIGHT], [1, 3, 0, 2, 2, 2, 2 * RIGHT]])
    owners = (("conv", "weights"), WHOLE_MEMORY)
    save_counts(folder / FOLDER, SUBJECT, [FlipCounts(CELL, frozenset(range(3)), 3, 3 * RIGHT, owners, rows)])
    return folder


def edit(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change the record, and give the line the right checksum."""
    path = folder / FOLDER / f"{SUBJECT}.jsonl"
    record = json.loads(path.read_bytes().rpartition(b"\t")[0])
    text = json.dumps(change(record) or record, separators=(",", ":")).encode()
    path.write_bytes(b"%s\t%08x\n" % (text, zlib.crc32(text)))


def test_sound_counts_are_read_without_a_remark(tmp_path: Path) -> None:
    results = read_results(a_folder(tmp_path))
    assert results.remarks == ()
    assert results.counted.flips.tolist() == [2, 2]


EDITS: dict[str, Callable[[Any], Any]] = {
    "range": lambda r: r.update(trials=[[0, 10**10]]),
    "range backwards": lambda r: r.update(trials=[[2, 0]]),
    "ranges that meet": lambda r: r.update(trials=[[0, 1], [1, 2]]),
    "ranges of nothing": lambda r: r.update(trials=[]),
    "negative trial": lambda r: r.update(trials=[[-1, 1]]),
    "range of texts": lambda r: r.update(trials=[["0", "2"]]),
    "owner": lambda r: r["rows"][0].__setitem__(0, 10**6),
    "counts": lambda r: r["rows"][0].__setitem__(slice(3, 7), [2**62] * 4),
    "n_right": lambda r: r.update(n_right="x"),
    "n_right beyond all": lambda r: r.update(n_right=4 * ACCURACY_UNIT),
    "bit 5000": lambda r: r["rows"][0].__setitem__(1, 5000),
    "bit 32": lambda r: r["rows"][0].__setitem__(1, 32),
    "negative": lambda r: r["rows"][0].__setitem__(6, -1),
    "held": lambda r: r["rows"][0].__setitem__(2, 2),
    "more trials with it than trials": lambda r: r["rows"][0].__setitem__(slice(3, 5), [9, 9]),
    "more failed than with it": lambda r: r["rows"][0].__setitem__(5, 3),
    "more right than with it": lambda r: r["rows"][0].__setitem__(6, 2 * ACCURACY_UNIT + 1),
    "no trial with it": lambda r: r["rows"][0].__setitem__(slice(3, 7), [1, 0, 0, 0]),
    "fewer flips than trials": lambda r: r["rows"][0].__setitem__(3, 1),
    "too few failed for the others": lambda r: r["rows"][0].__setitem__(5, 0),
    "rows twice": lambda r: r.update(rows=[r["rows"][0]] * 2),
    "rows falling": lambda r: r.update(rows=r["rows"][::-1]),
    "a row too short": lambda r: r["rows"][0].pop(),
    "a row of texts": lambda r: r["rows"].__setitem__(0, ["0"] * 7),
    "a row of fractions": lambda r: r["rows"][0].__setitem__(6, 0.5),
    "rows in rows": lambda r: r.update(rows=[[r["rows"][0]]]),
    "no owners": lambda r: r.update(owners=[]),
    "owner of one name": lambda r: r.update(owners=[["conv"], ["*", "*"]]),
    "owner with an escape": lambda r: r.update(owners=[["\x1b]0;x\x07", "weights"], ["*", "*"]]),
    "owner very long": lambda r: r.update(owners=[["x" * 10**6, "weights"], ["*", "*"]]),
    "cell is a list": lambda r: r.update(cell=[CELL]),
    "another key": lambda r: r.update(more=1),
    "no drop": lambda r: r.pop("drop") and r,
    "a list": lambda r: [r],
    "a text": str,
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_counts_that_no_trials_give_are_left_out_with_a_remark(change: Callable[[Any], Any], tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    edit(folder, change)
    results = read_results(folder)
    assert results.counted.empty
    (remark,) = results.remarks
    assert remark.startswith(
        f"{folder}: 1 lines of flip counts left out, damaged or of trials that are not in the tables"
    )
