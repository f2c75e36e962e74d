"""Trials of a baseline are held against their golden run, as those of a journal are: an impossible one is refused."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from faultbench.gate.baseline import COUNTS, BaselineCell, pack_trials
from faultbench.gate.baseline_file import read_baseline, write_baseline
from faultbench.gate.baseline_rules import NO_FLIPS
from faultbench.gate.packing import pack
from faultbench.memory.fault_map import FaultMap
from faultbench.results.journal.records import Trial
from faultbench.system.errors import FaultbenchError
from tests.builders.baselines import a_baseline, a_cell
from tests.builders.results import a_golden
from tests.results.journal.test_golden_rules import allowed

GOLDEN = {"n_images": 100, "n_correct": 98, "n_bits": 1000, "top1_digest": "ee"}


def masked(number: int, flips: str) -> Trial:
    """A trial without an effect, of a fault map with this digest."""
    return Trial("c", number, int(flips != NO_FLIPS), 4, 4, 4, 0, 0, 0, flips)


def cell_of(*counts: tuple[int, ...], flips: str = "ab12", **golden: Any) -> dict[str, Any]:
    """A cell as plain values: its trials come to these `COUNTS`, whatever they are."""
    cell = a_cell((98,) * len(counts)).model_dump()
    cell["flips"] = pack_trials([masked(number, flips) for number in range(len(counts))])["flips"]
    known = {**GOLDEN, **golden}
    width = known["n_images"].bit_length()
    return {**cell, "golden": known, "n_images": known["n_images"], "outcomes": pack(counts, width)}


SOUND = (90, 8, 8, 0)

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "more right ones than images": (cell_of((101, 0, 0, 0)), "trial 0: more right ones than images: 101 of 100 right"),
    "counts that do not sum": (cell_of(SOUND, (40, 60, 50, 60)), "trial 1: more SDCs and DUEs than images: 40 of 100"),
    "more critical SDCs than SDCs": (cell_of((90, 7, 8, 0)), "trial 0: more critical SDCs than SDCs"),
    "more right than masked and mended": (cell_of((98, 8, 8, 0)), "trial 0: more right ones than masked images and"),
    "more right than the golden run and the mended": (cell_of((99, 0, 0, 0)), "trial 0: its golden run does not allow"),
    "fewer right than what is lost explains": (cell_of(SOUND, SOUND, (50, 8, 8, 0)), "trial 2: its golden run does"),
    "another golden run": (cell_of(SOUND, n_correct=90), "its golden run does not allow it: 90 of 100 right, 8 SDC"),
    "an outcome without flips": (cell_of(SOUND, flips=NO_FLIPS), "trial 0: without flips every image must be masked"),
    "fewer right without flips": (cell_of((97, 0, 0, 0), flips=NO_FLIPS), "0 DUE, no flips; golden 98 of 100 right"),
    "fewer images than the golden run": ({**cell_of(SOUND), "golden": {**GOLDEN, "n_images": 120}}, "does not allow"),
    "more images than the golden run": (
        {**cell_of(SOUND), "golden": {**GOLDEN, "n_images": 99}},
        "trial 0: its golden run does not allow it: 90 of 100 right, 8 SDC (8 critical), 0 DUE; golden 98 of 99 right",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_baseline_with_a_trial_that_cannot_be_is_refused_by_cell_and_trial(case: str, tmp_path: Path) -> None:
    wrong, message = IMPOSSIBLE[case]
    path = tmp_path / "base.json"
    whole = a_baseline().model_dump(mode="json")
    path.write_text(json.dumps({**whole, "cells": [*whole["cells"], {**wrong, "scheme": "ranger"}]}))
    with pytest.raises(FaultbenchError) as raised:
        read_baseline(path)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{path}: no faultbench baseline: cells.1: Value error, trial ")
    assert message in line
    assert "cell digits/digits_cnn/ranger/none/q15.16/bernoulli BER 1e-6" in line
    assert raised.value.exit_code == 2


def is_allowed(n_correct: int, n_sdc: int, n_critical: int, n_due: int, n_right: int, n_flips: int) -> bool:
    """Return whether a journal takes a trial over 4 images with these counts."""
    try:
        trial = Trial("c", 0, n_flips, 4, n_correct, 4 - n_sdc - n_due, n_sdc, n_critical, n_due, "d")
    except ValueError:
        return False
    return allowed(trial, a_golden(n_images=4, n_correct=n_right, n_bits=9))


@pytest.mark.parametrize("flips", ["ab12", NO_FLIPS])
@pytest.mark.parametrize("n_right", range(5))
def test_a_baseline_takes_the_trials_that_a_journal_takes(n_right: int, flips: str) -> None:
    n_taken = 0
    for counts in product(range(5), repeat=len(COUNTS)):
        cell = cell_of(counts, flips=flips, n_images=4, n_correct=n_right, n_bits=9)
        try:
            BaselineCell.model_validate(cell, strict=False)
            is_taken = True
        except ValidationError:
            is_taken = False
        assert is_taken == is_allowed(*counts, n_right, n_flips=int(flips != NO_FLIPS)), counts
        n_taken += is_taken
    assert n_taken == 1 if flips == NO_FLIPS else n_taken > 10


def test_a_fault_map_without_flips_is_known_by_its_digest() -> None:
    assert FaultMap(np.array([], dtype=np.int64)).digest == NO_FLIPS


def test_a_map_with_flips_is_not_taken_for_that_without_any() -> None:
    """Its short digest could be the same by chance, so that a trial that is right would be refused."""
    alike = Trial("c", 0, 3, 100, 90, 92, 8, 8, 0, NO_FLIPS)
    cell = BaselineCell.model_validate({**cell_of(SOUND), **pack_trials([alike])}, strict=False)
    assert cell.counts.tolist() == [list(SOUND)]


def test_trials_without_flips_are_kept_and_read_back(tmp_path: Path) -> None:
    golden = [Trial("c", n, 0, 100, 98, 100, 0, 0, 0, NO_FLIPS) for n in range(3)]
    cell = BaselineCell.model_validate({**a_cell().model_dump(), **pack_trials(golden)}, strict=False)
    write_baseline(a_baseline(cell), tmp_path / "base.json")
    (read,) = read_baseline(tmp_path / "base.json").cells
    assert read.counts.tolist() == [[98, 0, 0, 0]] * 3


def test_the_baseline_in_the_repository_is_read() -> None:
    found = read_baseline(Path(__file__).parents[2] / "campaigns" / "ci_small.baseline.json")
    assert len(found.cells) == 9
