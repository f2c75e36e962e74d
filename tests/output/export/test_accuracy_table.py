import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.output.export.accuracy_table import Style, TableEntry, _entry, caption, columns, rows
from faultbench.results.analysis.blocks import blocks
from faultbench.results.analysis.results import read_results
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, write_journal

SHARES = st.floats(0, 1)


@given(st.lists(SHARES, min_size=3, max_size=3).map(sorted), st.integers(0, 4))
@settings(deadline=None)
def test_what_is_printed_holds_the_interval_in_either_form(ends: list[float], digits: int):
    low, mean, high = ends
    cell = {
        "trials": 9, "limited": False, "accuracy_mean": mean, "accuracy_ci_low": low, "accuracy_ci_high": high,
    }  # fmt: skip
    entry = _entry(cell, digits)
    last = 10.0**-digits
    assert abs(float(entry.mean) - 100 * mean) <= last / 2 + 1e-9
    assert 100 * low - last - 1e-9 <= float(entry.low) <= 100 * low + 1e-9
    assert 100 * high - 1e-9 <= float(entry.high) <= 100 * high + last + 1e-9
    assert float(entry.mean) - float(entry.below) == pytest.approx(float(entry.low), abs=1e-9)
    assert float(entry.mean) + float(entry.above) == pytest.approx(float(entry.high), abs=1e-9)
    assert len(entry.mean.partition(".")[2]) == digits


def test_a_cell_without_trials_and_one_that_is_not_in_the_grid_differ(tmp_path):
    results = read_results(ArtificialCampaign(schemes=["relu"], bers=[1e-6], trials=2).write_manifest(tmp_path))
    (block,) = blocks(results)
    assert rows(block, Style())[0].entries == (TableEntry(n_trials=0, is_limited=True),)
    assert rows(block, Style())[0].golden == "-"


def marked(tmp_path, n_correct: dict[str, list[int]], *, trials: int = 2) -> list[str]:
    """Which schemes are marked best at the one BER, each with these right answers of 200 a trial."""
    made = ArtificialCampaign(schemes=list(n_correct), bers=[1e-6], trials=trials)
    folder = made.write_manifest(tmp_path)
    records = [a_golden(subject=cell["subject"]) for cell in made.cells]
    for cell in made.cells:
        records += [a_trial(cell=cell["cell"], trial=k, n_correct=n) for k, n in enumerate(n_correct[cell["scheme"]])]
    write_journal(folder / "journal", "one", records)
    (block,) = blocks(read_results(folder))
    return [row.label for row in rows(block, Style(best=True)) if row.entries[0].is_best]


def test_the_highest_mean_of_a_column_is_the_best(tmp_path):
    assert marked(tmp_path, {"relu": [100, 100], "fitact": [180, 190], "ranger": [170, 190]}) == ["fitact"]


def test_means_that_print_alike_are_all_best(tmp_path):
    # 24 trials of 200 images: one image more or less is 0.02 %, which one decimal does not show.
    alike = {"a": [190] * 24, "b": [190] * 23 + [191], "c": [189] * 24}
    assert marked(tmp_path, alike, trials=24) == ["a", "b"]


def test_a_limited_cell_is_never_the_best(tmp_path):
    assert marked(tmp_path, {"lucky": [200], "level": [180], "steady": [180, 180]}) == ["steady"]


def test_one_scheme_alone_is_not_the_best_of_anything(tmp_path):
    assert marked(tmp_path, {"relu": [190, 190]}) == []


def test_a_caption_says_how_many_trials_and_images_stand_behind_the_table(tmp_path):
    (block,) = blocks(read_results(ArtificialCampaign(trials=4).write(tmp_path)))
    assert columns(block) == [1e-6, 1e-5, 1e-4]
    counts = "over 4 trials per cell, 200 images per trial."
    assert caption(block, Style(), StoppingRule(4)) == f"Mean accuracy in % and its 95% betting interval, {counts}"
    assert caption(block, Style(ci="none"), StoppingRule(4)) == f"Mean accuracy in %, {counts}"


def test_unknown_accuracies_are_no_numbers(tmp_path):
    cell = {"trials": 0, "limited": True, "accuracy_mean": math.nan}
    assert _entry(cell, 1) == TableEntry(0, is_limited=True)
