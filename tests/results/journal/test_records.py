import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.results.journal.records import Golden, Overhead, Trial
from tests.builders.results import a_golden, a_trial, an_overhead

COUNTS = ["trial", "n_flips", "n_images", "n_correct", "n_masked", "n_sdc", "n_sdc_critical", "n_due"]


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    n_masked, n_sdc, n_due = (draw(st.integers(0, 10**6)) for _ in range(3))
    n_images = n_masked + n_sdc + n_due + (n_masked + n_sdc + n_due == 0)
    wrong = n_sdc + n_due > 0
    n_sdc_critical = draw(st.integers(0, n_sdc))
    names = st.text(min_size=1, max_size=500).filter(str.isprintable)
    return Trial(
        cell=draw(names),
        trial=draw(st.integers(0, 10**9)),
        n_flips=draw(st.integers(1 if wrong else 0, 10**12)),
        n_images=n_images,
        n_correct=draw(st.integers(0, n_images - n_due - n_sdc_critical)),
        n_masked=n_images - n_sdc - n_due,
        n_sdc=n_sdc,
        n_sdc_critical=n_sdc_critical,
        n_due=n_due,
        flips_digest=draw(names),
    )


@given(trials())
def test_every_trial_reads_back_equal_from_json(trial: Trial):
    assert Trial.from_record(json.loads(json.dumps(trial.to_record()))) == trial


@pytest.mark.parametrize("record", [a_golden(), an_overhead(), an_overhead(fit_seconds=0)])
def test_golden_runs_and_overheads_read_back_equal_from_json(record: Golden | Overhead):
    assert type(record).from_record(json.loads(json.dumps(record.to_record()))) == record


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [-1, True, 2.0, "2", None, np.int64(2)])
def test_a_trials_counts_are_whole_numbers_from_0(name: str, value: Any):
    with pytest.raises(ValueError, match=name):
        a_trial(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"n_masked": 181},
        {"n_masked": 179},
        {"n_due": 6},
        {"n_correct": 201},
        {"n_sdc_critical": 16},
        {"n_flips": 0},
        {"n_images": 0, "n_masked": 0, "n_sdc": 0, "n_sdc_critical": 0, "n_due": 0, "n_correct": 0},
        {"cell": ""},
        {"cell": 3},
        {"flips_digest": None},
    ],
)
def test_a_trial_that_no_run_can_produce_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError):  # noqa: PT011 - the messages differ, the kind of error is the fact
        a_trial(**changes)


def test_a_trial_without_flips_that_masks_every_image_is_sound():
    trial = a_trial(n_flips=0, n_masked=200, n_sdc=0, n_sdc_critical=0, n_due=0)
    assert trial.n_flips == 0


@pytest.mark.parametrize(
    "changes",
    [{"n_correct": 201}, {"n_images": 0, "n_correct": 0}, {"n_bits": 0}, {"subject": ""}, {"top1_digest": ""}],
)
def test_a_golden_run_that_no_run_can_produce_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        a_golden(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": 0},
        {"bounds": -1},
        {"latency_ratio": 1.3},
        {"latency_ratio": 1.0},
        {"latency_ratio": None},
        {"latency_ratio_ci_high": float("inf")},
        {"latency_ratio_ci_low": -0.1},
        {"fit_seconds": float("nan")},
        {"fit_seconds": "2.5"},
        {"fit_epochs": 1.5},
        {"bounds_to_maxima": float("nan")},
        {"bounds_to_maxima": float("inf")},
        {"bounds_to_maxima": "0.9"},
    ],
)
def test_an_overhead_that_no_run_can_measure_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        an_overhead(**changes)


def test_an_overhead_may_leave_latency_unmeasured():
    overhead = an_overhead(latency_ratio=None, latency_ratio_ci_low=None, latency_ratio_ci_high=None)
    assert Overhead.from_record(overhead.to_record()) == overhead


@pytest.mark.parametrize("ratio", [None, 1, 0.3, -0.1])
def test_an_overhead_may_leave_its_bounds_unrelated_to_the_maxima(ratio: float | None):
    overhead = an_overhead(bounds_to_maxima=ratio)
    assert Overhead.from_record(json.loads(json.dumps(overhead.to_record()))) == overhead


def test_an_overhead_of_an_earlier_version_is_read_with_what_it_did_not_know_missing():
    record = an_overhead().to_record()
    del record["bounds_to_maxima"]
    assert Overhead.from_record(record) == an_overhead(bounds_to_maxima=None)


@pytest.mark.parametrize("record", [a_trial(), a_golden(), an_overhead()])
def test_a_missing_a_foreign_field_and_another_kind_are_refused(record: Trial | Golden | Overhead):
    whole = record.to_record()
    for name in whole.keys() - {"bounds_to_maxima"}:
        with pytest.raises(ValueError, match="record"):
            type(record).from_record({key: value for key, value in whole.items() if key != name})
    with pytest.raises(ValueError, match="record"):
        type(record).from_record({**whole, "weight": 1})
    with pytest.raises(ValueError, match="record"):
        type(record).from_record({**whole, "kind": "quarantine"})
