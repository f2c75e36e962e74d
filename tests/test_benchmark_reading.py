"""The benchmarks run; what they measure is for their readers to judge."""

import sys
from pathlib import Path

import pytest

from faultbench.tables import read_results

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_folder_that_reading_is_timed_on_is_a_sound_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "reading", raising=False)
    import reading

    n_trials = reading.write(tmp_path / "big", 1_000)
    results = read_results(tmp_path / "big")
    assert results.remarks == ()
    assert len(results.trials) == n_trials == 9 * 108
    assert not results.cells.limited.any()
    assert results.overhead.bounds.max() == 2_875_392
    means = results.cells.groupby("ber").accuracy_mean.mean()
    assert means.is_monotonic_decreasing
