"""Trials are held against their golden run: what it does not allow is left out, counted, and run again."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from faultbench.results.analysis.results import read_results
from faultbench.results.folder import read_folder
from faultbench.results.journal.contents import Asked, read_journal
from faultbench.results.journal.golden_rules import fit_golden_run
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.trial_rules import ABSENT
from faultbench.results.merge import merge
from faultbench.system.errors import FaultbenchError
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, write_journal

ONE = ArtificialCampaign(bers=(1e-6,), schemes=("relu",), trials=3)
CELL, SUBJECT = ONE.cells[0]["cell"], ONE.cells[0]["subject"]


def allowed(trial: Trial, golden: Golden, per_trial: int | None = None) -> bool:
    counts = {name: np.array([ABSENT if value is None else value]) for name, value in vars(trial).items()}
    known = {name: np.array([getattr(golden, name)]) for name in ("n_images", "n_correct", "n_bits")}
    return bool(fit_golden_run(SimpleNamespace(**counts), SimpleNamespace(**known), per_trial)[0])


def test_a_trial_is_allowed_exactly_where_some_images_end_so() -> None:
    """Every way in which 4 images can end, against every tuple of counts that a record may hold."""
    for n_right in range(5):
        golden = Golden(subject="s", n_images=4, n_correct=n_right, n_bits=9, top1_digest="d")
        possible = set[tuple[int, ...]]()
        # Of a right image: masked, a critical SDC, a DUE; of a wrong one: masked, an SDC that mends or does not, a DUE.
        for ends in product(*[("m", "s", "d")] * n_right, *[("m", "x", "+", "d")] * (4 - n_right)):
            n_kept = sum(end == "m" for end in ends[:n_right])
            n_sdc = sum(end in "sx+" for end in ends)
            possible.add((n_kept + ends.count("+"), ends.count("m"), n_sdc, ends.count("s"), ends.count("d")))
        for n_correct, n_sdc, n_critical, n_due in product(range(5), repeat=4):
            n_masked = 4 - n_sdc - n_due
            if n_masked < 0 or n_critical > n_sdc or n_correct > n_masked + n_sdc - n_critical:
                continue
            trial = Trial("c", 0, 1, 4, n_correct, n_masked, n_sdc, n_critical, n_due, "d")
            expected = (n_correct, n_masked, n_sdc, n_critical, n_due) in possible
            assert allowed(trial, golden) == expected, trial


def a_sampled(**changes: Any) -> Trial:
    fields = {"n_flips": 1, "n_images": 10, "n_correct": 9, "n_masked": 10, "n_sdc": 0, "n_sdc_critical": 0, "n_due": 0}
    return a_trial(**{**fields, "n_golden_correct": 9, "n_due_critical": 0, **changes})


def test_a_trial_over_some_of_the_images_looks_at_both_kinds_of_them() -> None:
    golden = a_golden()  # 196 of 200 right
    assert allowed(a_sampled(), golden)
    assert allowed(a_sampled(), golden, per_trial=10)
    assert not allowed(a_sampled(), golden, per_trial=11)
    assert not allowed(a_sampled(n_golden_correct=10, n_correct=10), golden)  # none of the wrong ones
    assert not allowed(a_sampled(n_golden_correct=5, n_correct=5), golden)  # five wrong ones, of four
    assert not allowed(a_sampled(), a_golden(n_correct=8))
    assert allowed(a_sampled(n_golden_correct=10, n_correct=10), a_golden(n_correct=200))


NO_SDC = {"n_sdc": 0, "n_sdc_critical": 0, "n_due": 0}

UNFIT = {
    "fewer images than the golden run": {"n_images": 5, "n_correct": 5, "n_masked": 5, **NO_SDC},
    "more images": {"n_images": 300, "n_masked": 280},
    "more right than the golden run and the mended": {"n_sdc": 20, "n_sdc_critical": 20, "n_due": 0, "n_correct": 180},
    "more flips than bits": {"n_flips": 32_001},
    "more mended than wrong": {"n_sdc": 20, "n_sdc_critical": 0, "n_due": 0, "n_correct": 196},
    "fewer right than what is lost explains": {"n_correct": 100, "n_masked": 180, "n_due": 5},
    "right without flips": {"n_flips": 0, "n_masked": 200, "n_correct": 200, **NO_SDC},
}  # fmt: skip


@pytest.mark.parametrize("changes", UNFIT.values(), ids=UNFIT)
def test_a_trial_that_its_golden_run_does_not_allow_is_left_out_and_told(
    changes: dict[str, int], tmp_path: Path
) -> None:
    folder = ONE.write_manifest(tmp_path)
    sound = [a_trial(cell=CELL, trial=number) for number in range(2)]
    unfit = a_trial(cell=CELL, trial=2, **changes)
    write_journal(folder / "journal", "one", [unfit, *sound, a_golden(subject=SUBJECT)])
    results = read_results(folder)
    assert results.trials.trial.tolist() == [0, 1]
    assert results.n_missing == 1
    assert results.remarks == (f"{folder}: 1 trials left out, which their golden run does not allow",)
    # It is run again, and what it came to does not contradict the line that stays in the journal.
    write_journal(folder / "journal", "two", [a_trial(cell=CELL, trial=2)])
    assert read_results(folder).trials.trial.tolist() == [0, 1, 2]
    merge(tmp_path / "out", [folder])
    assert read_results(tmp_path / "out").trials.trial.tolist() == [0, 1, 2]
    assert read_results(tmp_path / "out").remarks == ()


def test_sound_trials_all_stay(tmp_path: Path) -> None:
    made = ArtificialCampaign(trials=50)
    read = read_folder(made.write(tmp_path))
    assert read.journal.n_unfit == 0
    assert len(read.journal.trials) == 50 * len(made.cells)


def test_without_a_golden_run_nothing_is_known(tmp_path: Path) -> None:
    write_journal(tmp_path, "one", [a_trial(cell=CELL, n_images=300, n_masked=280)])
    found = read_journal(tmp_path, Asked({CELL: SUBJECT}))
    assert (found.n_unfit, len(found.trials)) == (0, 1)


def test_two_sound_trials_that_contradict_each_other_are_still_refused(tmp_path: Path) -> None:
    folder = ONE.write_manifest(tmp_path)
    twice = [a_trial(cell=CELL), a_trial(cell=CELL, n_correct=177, n_sdc_critical=15)]
    write_journal(folder / "journal", "one", [a_golden(subject=SUBJECT), *twice])
    with pytest.raises(FaultbenchError, match="recorded twice with different outcomes"):
        read_folder(folder)
