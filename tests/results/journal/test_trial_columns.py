import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.results.journal.records import Trial
from faultbench.results.journal.trial_columns import TrialColumns, TrialTable, counts_of
from faultbench.results.journal.trial_rules import ABSENT
from tests.builders.results import a_trial

COUNTS = ["trial", "n_flips", "n_images", "n_correct", "n_masked", "n_sdc", "n_sdc_critical", "n_due"]
SAMPLED = {"n_images": 20, "n_correct": 16, "n_masked": 16, "n_sdc": 3, "n_sdc_critical": 2, "n_due": 1}
SAMPLED |= {"n_golden_correct": 18, "n_due_critical": 1}
VALUES = [0, 1, 2, 3, 16, 17, 18, 19, 20, 21, -1, True, None, 2.0, "2", 2**60 + 1, 2**63]


@st.composite
def records(draw: st.DrawFn) -> Any:
    """A trial's record, plain or not, in which up to two values are changed at will."""
    record = a_trial(**draw(st.sampled_from([{}, SAMPLED, {"stratum": 1}, {**SAMPLED, "stratum": 0}]))).to_record()
    for _ in range(draw(st.integers(0, 2))):
        record[draw(st.sampled_from([*COUNTS, *SAMPLED, "stratum", "kind", "cell"]))] = draw(st.sampled_from(VALUES))
    return record


@given(st.one_of(records(), st.sampled_from([None, [], {}, 7, {"kind": ["trial"]}])))
def test_several_records_are_read_together_only_where_each_is_sound(record: Any):
    try:
        alone = Trial.from_record(record)
    except (ValueError, TypeError):
        alone = None
    try:
        together = TrialColumns.from_records([record, record])
    except ValueError:
        largest = max(value for value in vars(alone).values() if isinstance(value, int)) if alone else 0
        assert alone is None or alone.to_record() != record or largest > 2**60
    else:
        assert [*together] == [alone, alone]
        assert [[*vars(one).items()] for one in together] == [[*vars(alone).items()]] * 2


def test_records_of_different_fields_are_not_read_together():
    with pytest.raises(ValueError, match="same"):
        TrialColumns.from_records([a_trial().to_record(), a_trial(**SAMPLED).to_record()])


MIXED = [a_trial(trial=0), a_trial(trial=1, **SAMPLED), a_trial(trial=2, stratum=0), a_trial(trial=3, cell="d" * 32)]


def test_trials_of_any_kind_come_out_of_columns_as_they_went_in():
    columns = TrialColumns.of(MIXED)
    assert [*columns] == MIXED
    assert [columns[place] for place in (0, 2, -1)] == [MIXED[0], MIXED[2], MIXED[-1]]
    assert [*columns[1:3]] == MIXED[1:3]
    assert [*pickle.loads(pickle.dumps(columns))] == MIXED
    assert [*TrialColumns.joined([columns[:1], columns[1:]])] == MIXED
    assert [*TrialColumns.joined([])] == []
    with pytest.raises(IndexError):
        columns[4]


def test_a_count_that_a_trial_leaves_out_is_absent():
    for trials in (MIXED, TrialColumns.of(MIXED)):
        assert counts_of(trials, "stratum").tolist() == [ABSENT, ABSENT, 0, ABSENT]
        assert counts_of(trials, "n_flips").tolist() == [trial.n_flips for trial in MIXED]


@st.composite
def files(draw: st.DrawFn) -> list[tuple[Path, list[Trial]]]:
    """Trials of three cells over some files, some of them again and some of these changed."""
    numbers = st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from([1, 1, 1, 1, 2]))
    parts = draw(st.lists(st.lists(numbers, max_size=6), max_size=4))
    return [
        (Path(f"{place}"), [a_trial(cell=cell, trial=trial, n_flips=n_flips) for cell, trial, n_flips in part])
        for place, part in enumerate(parts)
    ]


@given(files())
def test_files_merge_as_their_trials_do_one_by_one(given_files: list[tuple[Path, list[Trial]]]):
    expected: dict[tuple[str, int], Trial] = {}
    conflict = None
    for path, trials in given_files:
        for trial in trials:
            earlier = expected.setdefault((trial.cell, trial.trial), trial)
            if earlier != trial and conflict is None:
                conflict = (earlier, trial, path)
    found = TrialTable.merged([(path, TrialColumns.of(trials)) for path, trials in given_files])
    if conflict:
        assert found == conflict
        return
    assert isinstance(found, TrialTable)
    assert found == expected
    assert len(found) == len(expected)
    for cell in "abcd":
        assert [*found.of_cell(cell)] == [expected[name] for name in sorted(expected) if name[0] == cell]


def test_a_table_knows_each_of_its_trials_by_cell_and_number():
    table = TrialTable({"c" * 32: TrialColumns.of(MIXED[:3])})
    assert table["c" * 32, 1] == MIXED[1]
    assert ("c" * 32, 3) not in table
    assert ("d" * 32, 0) not in table
    assert replace(MIXED[0]) in table.values()
