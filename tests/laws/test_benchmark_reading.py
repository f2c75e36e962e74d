"""The benchmarks run; what they measure is for their readers to judge."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from faultbench.results.analysis.blocks import by_block
from faultbench.results.analysis.results import read_results

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "reading", raising=False)
    import reading

    return reading


@pytest.mark.slow
def test_the_folder_that_reading_is_timed_on_is_a_sound_one(tmp_path: Path, reading: ModuleType):
    n_trials = reading.write(tmp_path / "big", 1_000)
    results = read_results(tmp_path / "big")
    assert results.remarks == ()
    assert len(results.trials) == n_trials == 9 * 108
    assert not results.cells.limited.any()
    assert results.overhead.bounds.max() == 2_875_392
    means = results.cells.groupby("ber").accuracy_mean.mean()
    assert means.is_monotonic_decreasing


@pytest.mark.slow
def test_the_flips_of_each_network_can_be_drawn_alone(tmp_path: Path, reading: ModuleType):
    reading.write(tmp_path / "big", 200)
    results = read_results(tmp_path / "big")
    n_rows = results.counted.groupby("model", observed=True).size()
    alone = [part.counted for part in by_block(results).values()]
    assert {str(rows.model.iloc[0]): len(rows) for rows in alone} == n_rows.to_dict()
