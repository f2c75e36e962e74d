"""Records of hazards and strata: what a journal holds comes back, and nothing that no run can have written."""

import json
from collections import Counter

import pytest

from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.journal import Journal, line
from faultbench.results.journal.records import Trial
from faultbench.results.journal.strata import TOTAL, Hazards, Strata
from tests.builders.results import some_strata

HAZARDS = Hazards(
    "s" * 32, (("linear", "biases"),), ((0, 0, 0, 3, 4, 0, 32, 0), (0, 1, 0, 3, 4, 4, 32, 32)),
    ((1, 0, 24, 16, 150, 1500, 10),), 2, 1000,
)  # fmt: skip
"""Three biases, whose second bit does harm."""


def test_records_come_back_from_a_journal(tmp_path):
    hazards, strata = HAZARDS, some_strata()
    with Journal(tmp_path, "one") as journal:
        journal.append(hazards.to_record())
        journal.append(strata.to_record())
    found = read_journal(tmp_path)
    assert found.hazards == {hazards.subject: hazards}
    assert found.strata == {strata.cell: strata}
    assert found.n_damaged == 0


def test_a_plain_trial_is_written_as_before_strata():
    record = {
        "kind": "trial", "cell": "c", "trial": 0, "n_flips": 1, "n_images": 2, "n_correct": 2, "n_masked": 2,
        "n_sdc": 0, "n_sdc_critical": 0, "n_due": 0, "flips_digest": "d",
    }  # fmt: skip
    assert line(Trial.from_record(record).to_record()) == line(record)


@pytest.mark.parametrize(
    "changes",
    [
        {"drawn": (TOTAL, 0)},
        {"drawn": (TOTAL // 2, TOTAL // 2 - 1)},
        {"first": (1, 2)},
        {"first": (0, 0)},
        {"share": (0.8, 0.3)},
        {"share": (0.8,)},
        {"lost": (0.01, 1.5)},
        {"lost": (0.01, float("nan"))},
        {"gain": -1.0},
        {"first": "01"},
    ],
)
def test_strata_that_mean_nothing_are_refused(changes):
    with pytest.raises(ValueError, match=r"stratum|strata|shares|list|gain"):
        some_strata(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": ((0, 1, 0, 5, 4, 0, 32),)},
        {"rows": ((9, 1, 0, 5, 4, 0, 32, 0),)},
        {"rows": ((0, 1, 0, 5, 4, 0, 0, 0),)},
        {"points": ((1, 0, -1, 16, 1, 1, 0),)},
        {"owners": 3},
    ],
)
def test_hazards_that_mean_nothing_are_refused(changes):
    record = HAZARDS.to_record()
    with pytest.raises(ValueError, match=r"row|owner|list"):
        Hazards.from_record({**json.loads(json.dumps(record)), **changes})


def test_trials_are_drawn_as_often_as_their_strata_say():
    strata = some_strata(drawn=(TOTAL - TOTAL // 8, TOTAL // 8))
    found = Counter(strata.stratum(seed=3, trial=number) for number in range(4000))
    assert abs(found[1] - 500) < 4 * (4000 * 0.125 * 0.875) ** 0.5


def test_the_ends_of_strata_meet():
    strata = some_strata(
        first=(0, 1, 3), share=(0.5, 0.2, 0.1), drawn=(TOTAL - 2, 1, 1), lost=(0, 0.1, 0.2), due=(0, 0, 0)
    )
    assert [strata.ends(stratum) for stratum in range(3)] == [(0, 0), (1, 2), (3, 50)]


def test_without_strata_trials_are_plain():
    empty: dict[str, tuple[int, ...]] = dict.fromkeys(("first", "share", "drawn", "lost", "due"), ())
    assert not Strata(cell="c", n_bits=10, n_hazards=0, gain=1.0, variance_gain=1.0, **empty).is_split
