import csv
import math
import random
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultbench.output.export.markdown import markdown
from faultbench.output.export.table_files import write_tables
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import ber_text, find_results
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Trial
from faultbench.results.stats import mean_interval, ratio_interval
from faultbench.system.errors import EngineError, FaultbenchError
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, an_overhead, key_of, write_journal

COLUMNS = {
    "cells": (
        "campaign dataset model scheme guard format fault ber n_bits trials images golden_accuracy accuracy_mean "
        "accuracy_ci_low accuracy_ci_high accuracy_median accuracy_q05 accuracy_min sdc_rate sdc_critical_rate "
        "due_rate masked_rate flips_mean limited accuracy_median_ci_low accuracy_median_ci_high accuracy_q05_ci_low "
        "accuracy_q05_ci_high sdc_rate_ci_low sdc_rate_ci_high sdc_critical_rate_ci_low sdc_critical_rate_ci_high "
        "due_rate_ci_low due_rate_ci_high masked_rate_ci_low masked_rate_ci_high below_min_ci_high interval confidence "
        "images_per_trial variance_trials variance_images accuracy_not_due accuracy_not_due_ci_low "
        "accuracy_not_due_ci_high"
    ),
    "trials": (
        "campaign cell dataset model scheme guard format fault ber trial n_flips n_images n_correct n_masked n_sdc "
        "n_sdc_critical n_due flips_digest n_golden_correct n_due_critical accuracy wrong_rate stratum"
    ),
    "overhead": (
        "dataset model scheme guard format parameters bounds extra_bits memory_overhead_pct macs latency_ratio "
        "latency_ratio_ci_low latency_ratio_ci_high fit_seconds fit_epochs fit_injections "
        "bounds_to_maxima"
    ),
    "resilience": (
        "dataset model scheme guard format fault n_areas resilience resilience_ci_low resilience_ci_high "
        "images_per_trial"
    ),
    "critical": (
        "dataset model scheme guard format fault drop probability trials critical_ber critical_ber_ci_low "
        "critical_ber_ci_high images_per_trial"
    ),
}
"""Other people's scripts lean on these names."""

ONE_CELL = ArtificialCampaign(schemes=["relu"], bers=[1e-6], trials=4)
CELL = ONE_CELL.cells[0]["cell"]
SUBJECT = ONE_CELL.cells[0]["subject"]


NONE = pytest.approx(math.nan, nan_ok=True)


def ends(name: str, fractions: list[float]) -> dict[str, float]:
    interval = mean_interval(fractions)
    return {f"{name}_ci_low": interval.low, f"{name}_ci_high": interval.high}


def written(folder: Path) -> dict[str, bytes]:
    paths = write_tables(read_results(folder), folder / "tables")
    return {path.stem: path.read_bytes() for path in paths}


@pytest.mark.parametrize("table", COLUMNS)
def test_the_columns_are_those_that_scripts_lean_on(tmp_path: Path, table: str):
    folder = ArtificialCampaign().write(tmp_path)
    header = written(folder)[table].decode().partition("\n")[0]
    assert header.split(",") == COLUMNS[table].split()
    assert list(getattr(read_results(folder), table).columns) == COLUMNS[table].split()


def test_a_cell_is_what_its_trials_say_worked_by_hand(tmp_path: Path):
    folder = ONE_CELL.write_manifest(tmp_path)
    n_correct = [196, 190, 196, 50]
    wrong = [(0, 0, 0), (6, 6, 0), (1, 0, 0), (100, 96, 50)]  # SDC, of these critical, DUE
    trials = [
        a_trial(
            cell=CELL, trial=k, n_flips=10 * k, n_correct=n_correct[k], n_masked=200 - wrong[k][0] - wrong[k][2],
            n_sdc=wrong[k][0], n_sdc_critical=wrong[k][1], n_due=wrong[k][2],
        )
        for k in range(4)
    ]  # fmt: skip
    write_journal(folder / "journal", "one", [*trials, a_golden(subject=SUBJECT, n_correct=196, n_bits=32_000)])
    (row,) = read_results(folder).cells.to_dict("records")
    interval = mean_interval([0.98, 0.95, 0.98, 0.25])
    finite = ratio_interval([0.98, 0.95, 0.98, 0.25], [1, 1, 1, 0.75])
    assert row == {
        "campaign": "made",
        "dataset": "digits",
        "model": "digits_cnn",
        "scheme": "relu",
        "guard": "none",
        "format": "q15.16",
        "fault": "bernoulli",
        "ber": 1e-6,
        "n_bits": 32_000,
        "trials": 4,
        "images": 200,
        "images_per_trial": 200.0,
        "variance_trials": pytest.approx(np.var([0.98, 0.95, 0.98, 0.25], ddof=1)),
        "variance_images": NONE,
        "golden_accuracy": 0.98,
        "accuracy_mean": pytest.approx((0.98 + 0.95 + 0.98 + 0.25) / 4, abs=1e-15),
        "accuracy_ci_low": interval.low,
        "accuracy_ci_high": interval.high,
        "accuracy_median": pytest.approx((0.98 + 0.95) / 2),
        # Linear between the two lowest: 0.05 of the way along three steps is 0.15 of the first.
        "accuracy_q05": pytest.approx(0.25 + 0.15 * (0.95 - 0.25)),
        "accuracy_min": 0.25,
        "sdc_rate": pytest.approx(107 / 800),
        "sdc_critical_rate": pytest.approx(102 / 800),
        "due_rate": pytest.approx(50 / 800),
        "masked_rate": pytest.approx((800 - 157) / 800),
        "flips_mean": 15.0,
        "limited": False,
        # Four trials bound neither quantile from below, and the median from no side.
        "accuracy_median_ci_low": NONE,
        "accuracy_median_ci_high": NONE,
        "accuracy_q05_ci_low": NONE,
        "accuracy_q05_ci_high": 0.95,
        **ends("sdc_rate", [0, 0.03, 0.005, 0.5]),
        **ends("sdc_critical_rate", [0, 0.03, 0, 0.48]),
        **ends("due_rate", [0, 0, 0, 0.25]),
        **ends("masked_rate", [1, 0.97, 0.995, 0.25]),
        # If more than this fraction of trials were worse, four would all be better with less than 5 %.
        "below_min_ci_high": pytest.approx(1 - 0.05**0.25),
        "interval": "betting",
        "confidence": 0.95,
        # 632 of 750 images with finite logits.
        "accuracy_not_due": pytest.approx(632 / 750),
        "accuracy_not_due_ci_low": finite.low,
        "accuracy_not_due_ci_high": finite.high,
    }


def test_six_trials_bound_a_median_and_seventy_two_a_five_per_cent_quantile(tmp_path: Path):
    for n_trials, n_ends in ((5, 1), (6, 3), (71, 3), (72, 4)):
        made = replace(ONE_CELL, trials=n_trials, name=f"n{n_trials}")
        cells = read_results(made.write(tmp_path)).cells
        bounded = cells[[f"{name}_ci_{end}" for name in ("accuracy_median", "accuracy_q05") for end in ("low", "high")]]
        # Two trials bound the 5 % quantile from above already.
        assert bounded.notna().sum(axis=None) == n_ends


def test_a_cell_without_trials_is_a_row_of_unknowns(tmp_path: Path):
    folder = ArtificialCampaign().write_manifest(tmp_path)
    relu = [record for record in ArtificialCampaign().records if "/relu/" in getattr(record, "cell", "/relu/")]
    write_journal(folder / "journal", "one", relu)
    results = read_results(folder)
    assert len(results.cells) == len(ArtificialCampaign().cells)
    empty = results.cells[results.cells.scheme == "clip_act"]
    assert (empty.trials == 0).all()
    assert empty.limited.all()
    assert empty.filter(regex="accuracy_|rate|flips|below").isna().all(axis=None)
    assert (empty.golden_accuracy == 0.98).all()
    rows = list(csv.DictReader(written(folder)["cells"].decode().splitlines()))
    assert {row["accuracy_mean"] for row in rows if row["scheme"] == "clip_act"} == {""}


def test_a_folder_without_a_journal_is_all_rows_of_unknowns(tmp_path: Path):
    results = read_results(ArtificialCampaign().write_manifest(tmp_path))
    assert results.cells.trials.tolist() == [0] * 6
    assert results.cells.n_bits.isna().all()
    assert len(results.trials) == len(results.overhead) == 0


def test_a_cell_with_fewer_trials_than_asked_for_is_limited(tmp_path: Path):
    folder = ONE_CELL.write_manifest(tmp_path)
    write_journal(folder / "journal", "one", [a_trial(cell=CELL, trial=k) for k in range(3)])
    assert read_results(folder).cells.limited.tolist() == [True]
    write_journal(folder / "journal", "one", [a_trial(cell=CELL, trial=3)])
    assert read_results(folder).cells.limited.tolist() == [False]


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tables_are_the_same_bytes_whatever_the_files_and_their_order(
    tmp_path: Path, order: random.Random, n_files: int
):
    made = ArtificialCampaign(trials=40)
    if not (tmp_path / "whole").exists():
        made.write(tmp_path / "whole")
    expected = written(tmp_path / "whole" / "made")
    folder = made.write_manifest(tmp_path / f"{order.random()}")
    records = [*made.records, *made.records[:30]]
    order.shuffle(records)
    for number in range(n_files):
        write_journal(folder / "journal", f"writer{order.random()}", records[number::n_files])
    assert written(folder) == expected


def test_the_table_of_trials_holds_every_record_as_it_was_written(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "fitact"], bers=[1e-5, 1e-6])
    cells = {cell["cell"]: cell for cell in made.cells}
    expected = [
        {"campaign": "made", **cells[record.cell], **asdict(record), **fractions(record)}
        for record in made.records
        if isinstance(record, Trial)
    ]
    rows = read_results(made.write(tmp_path)).trials.to_dict("records")
    by_name = {(row["cell"], row["trial"]): row for row in rows}
    assert len(rows) == len(expected)
    for row in expected:
        found = by_name[row["cell"], row["trial"]]
        # All images were looked at, so that there is nothing to say of the golden run's part in them; nor of strata.
        assert all(
            pd.isna(of.pop(name)) for of in (row, found) for name in ("n_golden_correct", "n_due_critical", "stratum")
        )
        del row["subject"]
        assert found == row


def fractions(trial: Trial) -> dict[str, float]:
    wrong = (trial.n_sdc + trial.n_due) / trial.n_images
    return {"accuracy": trial.n_correct / trial.n_images, "wrong_rate": wrong}


def test_rows_are_sorted_by_label_then_ber_then_trial(tmp_path: Path):
    made = ArtificialCampaign(
        datasets=["digits", "cifar10"], schemes=["relu", "Clip-Act (channel)", "fitact"], bers=[1e-4, 1e-6]
    )
    results = read_results(made.write(tmp_path))
    labels = ["dataset", "model", "scheme", "guard", "format", "fault"]
    cells = list(results.cells[[*labels, "ber"]].itertuples(index=False, name=None))
    trials = list(results.trials[[*labels, "ber", "trial"]].itertuples(index=False, name=None))
    assert cells == sorted(cells)
    assert trials == sorted(trials)
    assert len(trials) == 12 * 5


def test_fractions_in_csv_read_back_bit_for_bit(tmp_path: Path):
    folder = ArtificialCampaign(trials=7).write(tmp_path)
    rows = list(csv.DictReader(written(folder)["cells"].decode().splitlines()))
    floats = read_results(folder).cells.select_dtypes("float64")
    for name in floats:
        assert np.array_equal([float(row[name] or "nan") for row in rows], floats[name], equal_nan=True)
    assert len(floats.columns) == 33


def test_memory_overhead_is_bounds_in_per_cent_of_parameters(tmp_path: Path):
    folder = ONE_CELL.write_manifest(tmp_path)
    # FitAct on the AlexNet for CIFAR-10: 0.284 %.
    alexnet = an_overhead(subject=SUBJECT, parameters=23_272_266, bounds=66_176, extra_bits=32 * 66_176)
    write_journal(folder / "journal", "one", [alexnet])
    assert read_results(folder).overhead.memory_overhead_pct.tolist() == [pytest.approx(0.284, abs=5e-4)]


def test_a_network_has_an_overhead_row_for_each_format_that_its_fault_models_share(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], formats=["q15.16", "float16"], faults=["exact", "bernoulli"])
    folder = made.write_manifest(tmp_path)
    bits = {"q15.16": 320, "float16": 160}
    costs = [
        an_overhead(
            subject=key_of("digits", "digits_cnn", "relu", "none", form, fault),
            extra_bits=bits[form],
            fit_epochs=epochs,
        )
        for form in bits
        for epochs, fault in enumerate(("bernoulli", "exact"), start=1)
    ]
    write_journal(folder / "journal", "one", costs)
    rows = read_results(folder).overhead[["format", "extra_bits", "fit_epochs"]]
    # In the order of their names bernoulli is the first of the fault models.
    assert rows.to_numpy().tolist() == [["float16", 160, 1], ["q15.16", 320, 1]]


def test_a_latency_that_was_not_measured_is_unknown(tmp_path: Path):
    folder = ONE_CELL.write_manifest(tmp_path)
    unmeasured = an_overhead(subject=SUBJECT, latency_ratio=None, latency_ratio_ci_low=None, latency_ratio_ci_high=None)
    write_journal(folder / "journal", "one", [unmeasured])
    assert math.isnan(read_results(folder).overhead.latency_ratio[0])
    assert b",,,," in written(folder)["overhead"]


def test_damaged_lines_and_trials_of_unlisted_cells_are_told(tmp_path: Path):
    folder = ONE_CELL.write(tmp_path)
    assert read_results(folder).remarks == ()
    path = write_journal(folder / "journal", "two", [a_trial(cell="unlisted", trial=k) for k in range(3)])
    path.write_bytes(path.read_bytes()[:-5])
    damaged, unlisted = read_results(folder).remarks
    assert "1 torn or damaged" in damaged
    assert "2 trials left out" in unlisted
    assert len(read_results(folder).trials) == 4


def test_trials_of_one_cell_with_different_numbers_of_images_are_an_error(tmp_path: Path):
    folder = ONE_CELL.write_manifest(tmp_path)
    fewer = a_trial(cell=CELL, trial=1, n_images=100, n_masked=80, n_correct=80)
    write_journal(folder / "journal", "one", [a_trial(cell=CELL, trial=0), fewer])
    with pytest.raises(FaultbenchError, match=r"\[100, 200\] images"):
        read_results(folder)


def test_the_folder_of_one_campaign_stands_for_it(tmp_path: Path):
    ArtificialCampaign().write(tmp_path)
    (tmp_path / "notes").mkdir()
    assert read_results(tmp_path).folder == tmp_path / "made"


def test_several_campaigns_are_found_but_not_read_as_one(tmp_path: Path):
    ArtificialCampaign(name="first").write(tmp_path).rename(tmp_path / "first~1")
    for name in ("second", "first"):
        ArtificialCampaign(name=name).write(tmp_path)
    assert find_results(tmp_path) == [tmp_path / "first", tmp_path / "second"]
    with pytest.raises(FaultbenchError, match="name one of first, second"):
        read_results(tmp_path)
    assert read_results(tmp_path / "first~1").manifest.campaign == "first"


@pytest.mark.parametrize(
    ("make", "told"),
    [(Path.mkdir, "holds no results"), (Path.touch, "is no folder"), (lambda _: None, "does not exist")],
)
def test_what_is_no_results_folder_is_told_with_what_one_is(tmp_path: Path, make, told: str):
    make(tmp_path / "other")
    with pytest.raises(FaultbenchError, match=rf"other: {told}.*manifest\.json"):
        read_results(tmp_path / "other")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"campaign": "x", "trials": 0, "cells": [], "spec": {"schemes": []}}', "\xff"]
)
def test_a_foreign_manifest_is_an_error_that_names_it(tmp_path: Path, text: str):
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(FaultbenchError, match=r"manifest\.json: no faultbench manifest"):
        read_results(tmp_path)


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = ArtificialCampaign().write(tmp_path)
    before = written(folder)

    def full_disk(path: Path) -> None:
        path.write_text("campaign,data")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("faultbench.system.files.disk._sync", full_disk)
    with pytest.raises(EngineError, match=r"tables.*\.csv.*No space left"):
        written(folder)
    assert {path.stem: path.read_bytes() for path in (folder / "tables").iterdir()} == before


def test_markdown_has_schemes_down_and_bers_across(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "Clip|Act"], bers=[1e-6, 2.5e-5], trials=3)
    folder = made.write_manifest(tmp_path)
    cells = {(cell["scheme"], cell["ber"]): cell["cell"] for cell in made.cells}
    perfect = {"n_correct": 200, "n_masked": 200, "n_sdc": 0, "n_sdc_critical": 0, "n_due": 0}
    records = [a_golden(subject=made.cells[0]["subject"], n_correct=197)]
    records += [a_trial(cell=cells["relu", 1e-6], trial=k, n_correct=190) for k in range(3)]
    records += [a_trial(cell=cells["Clip|Act", 2.5e-5], trial=k, **perfect) for k in range(2)]
    write_journal(folder / "journal", "one", records)
    of_relu, of_clip = mean_interval([0.95] * 3), mean_interval([1.0] * 2)
    relu = f"95.0 [{math.floor(1000 * of_relu.low) / 10}, {math.ceil(1000 * of_relu.high) / 10}]"
    clip = f"100.0 [{math.floor(1000 * of_clip.low) / 10}, 100.0]"
    assert markdown(read_results(folder)) == (
        "# made\n\n"
        "## digits, digits_cnn, q15.16\n\n"
        "Mean accuracy in % and its 95% betting interval, over 0 to 3 trials per cell, 200 images per trial.\n\n"
        "| scheme | golden | BER 1e-6 | BER 2.5e-5 |\n"
        "| --- | ---: | ---: | ---: |\n"
        f"| relu | 98.5 | {relu} | - |\n"
        f"| Clip\\|Act | - | - | {clip} LIMITED 2/3 |\n\n"
        "SDC / DUE in % of the images, and in parentheses the accuracy in % among those that are no DUE, whose logits "
        "are finite; means over 0 to 3 trials per cell.\n\n"
        "| scheme | BER 1e-6 | BER 2.5e-5 |\n"
        "| --- | ---: | ---: |\n"
        "| relu | 0.0 / 5.0 (100.0) | - |\n"
        "| Clip\\|Act | - | 0.0 / 0.0 (100.0) |\n"
    )


def test_where_outcomes_end_the_trials_tables_have_sequences_and_say_so(tmp_path: Path):
    made = ArtificialCampaign(
        schemes=["relu"], bers=[1e-6, 1e-5], trials=100, until={"accuracy_halfwidth": 0.3, "confidence": 0.9}
    )
    folder = made.write_manifest(tmp_path)
    spread = [196, 150, 20, 196, 100, 190, 30, 196]
    trials = [a_trial(cell=made.cells[0]["cell"], trial=k, n_correct=196) for k in range(12)]
    outcome = {"n_masked": 185, "n_sdc": 15, "n_sdc_critical": 4, "n_due": 0}
    trials += [a_trial(cell=made.cells[1]["cell"], trial=k, n_correct=spread[k], **outcome) for k in range(8)]
    write_journal(folder / "journal", "one", trials)
    results = read_results(folder)
    done, limited = results.cells.to_dict("records")
    assert [done["limited"], limited["limited"]] == [False, True]
    assert {done["interval"], limited["interval"]} == {"betting-sequence"}
    assert {done["confidence"], limited["confidence"]} == {0.9}
    interval = mean_interval([right / 200 for right in spread], confidence=0.9, anytime=True)
    assert (limited["accuracy_ci_low"], limited["accuracy_ci_high"]) == (interval.low, interval.high)
    rates = mean_interval([15 / 200] * 8, confidence=0.9, anytime=True)
    assert (limited["sdc_rate_ci_low"], limited["sdc_rate_ci_high"]) == (rates.low, rates.high)
    # Nine looks, at 5, 8, 12, 18, 27, 41, 62, 93 and 100 trials: each may fail with a ninth of 0.1.
    assert limited["below_min_ci_high"] == pytest.approx(1 - (0.1 / 9) ** (1 / 8))
    text = markdown(results)
    assert "Mean accuracy in % and its 90% betting-sequence interval" in text
    assert "] LIMITED 8 |" in text


def test_markdown_has_a_table_for_each_dataset_model_format_and_fault_model(tmp_path: Path):
    made = ArtificialCampaign(
        datasets=["digits", "cifar10"], formats=["q15.16", "float32"], faults=["bernoulli", "exact"]
    )
    text = markdown(read_results(made.write(tmp_path)))
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles[:3] == [
        "## digits, digits_cnn, q15.16, bernoulli",
        "## digits, digits_cnn, q15.16, exact",
        "## digits, digits_cnn, float32, bernoulli",
    ]
    assert len(titles) == 8
    assert text.count("\n| relu | 98.0 |") == 8


def test_markdown_says_what_each_scheme_survives(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "fitact", "clip_act", "ranger"], bers=[1e-6, 1e-5, 1e-4], trials=100)
    folder = made.write_manifest(tmp_path)
    cells = {(cell["scheme"], cell["ber"]): cell for cell in made.cells}
    # 196 of 200 are right without faults; 180 are 8 points fewer, 100 fail anywhere.
    n_correct = {"relu": [180, 100, 100], "fitact": [196, 180, 180], "clip_act": [100, 196, 196]}
    records = [a_golden(subject=cells[scheme, 1e-6]["subject"]) for scheme in made.schemes]
    for scheme, outcomes in n_correct.items():
        for ber, right in zip(made.bers, outcomes, strict=True):
            records += [a_trial(cell=cells[scheme, ber]["cell"], trial=k, n_correct=right) for k in range(100)]
    write_journal(folder / "journal", "one", records)
    text = markdown(read_results(folder))
    header, _, *rows = text.partition("Over the 100 trials recorded at every BER, 200 images per trial.\n\n")[
        2
    ].splitlines()
    assert header == "| scheme | resilience | critical BER, 1 | critical BER, 5 | critical BER, 10 |"
    survived = [row.split(" | ")[2:] for row in rows]
    assert survived == [
        ["< 1e-6 [0, 1e-6)", "< 1e-6 [0, 1e-6)", "1e-6 [1e-6, 1e-5) |"],
        ["1e-6 [1e-6, 1e-5)", "1e-6 [1e-6, 1e-5)", "1e-4 [1e-4, ∞) |"],
        ["< 1e-6 [0, 1e-6)"] * 2 + ["< 1e-6 [0, 1e-6) |"],
        ["-", "-", "- |"],  # ranger has no trials
    ]
    assert "90% of the trials stay less than" in text


def test_markdown_says_what_each_scheme_costs(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "ft_clipact", "Pro|Act"], bers=[1e-6])
    folder = made.write_manifest(tmp_path)
    relu, ft_clipact, proact = (cell["subject"] for cell in made.cells)
    unmeasured = {"latency_ratio": None, "latency_ratio_ci_low": None, "latency_ratio_ci_high": None}
    costs = [
        an_overhead(
            subject=relu, bounds=0, extra_bits=0, fit_seconds=0, fit_epochs=0, bounds_to_maxima=None, **unmeasured
        ),
        an_overhead(
            subject=ft_clipact,
            parameters=14_719_818,
            bounds=13,
            fit_epochs=0,
            fit_injections=11_200,
            bounds_to_maxima=0.31286,
        ),
        an_overhead(
            subject=proact,
            parameters=23_520_842,
            bounds=2_875_392,
            latency_ratio=1.24,
            latency_ratio_ci_low=1.219,
            latency_ratio_ci_high=1.251,
            fit_seconds=2210.46,
            fit_epochs=138,
        ),
    ]
    write_journal(folder / "journal", "one", costs)
    assert markdown(read_results(folder)).partition("| Pro\\|Act | - | - |\n\n")[2] == (
        "Overheads: bounds, and their memory in % of the parameters; time of an inference in relation to the "
        "unprotected network, and its 95% interval; fitting in seconds, epochs of training and fault injections; the "
        "median of bound / profiled maximum. Measured without faults: no trial, one batch of images.\n\n"
        "| scheme | bounds | memory (%) | latency | fitting (s) | epochs | injections | bound / maximum |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| relu | 0 | 0 | - | 0.0 | 0 | 0 | - |\n"
        "| ft_clipact | 13 | 0.0000883 | 1.10 [1.05, 1.20] | 2.5 | 0 | 11,200 | 0.313 |\n"
        "| Pro\\|Act | 2,875,392 | 12.2 | 1.24 [1.21, 1.26] | 2,210.5 | 138 | 0 | 0.9 |\n"
    )


def test_an_overhead_of_an_earlier_version_has_an_empty_field_for_its_bounds(tmp_path: Path):
    folder = ONE_CELL.write_manifest(tmp_path)
    record = an_overhead(subject=SUBJECT).to_record()
    del record["bounds_to_maxima"]
    with Journal(folder / "journal", "old") as journal:
        journal.append(record)
    results = read_results(folder)
    assert not results.remarks
    assert results.overhead.fit_epochs.tolist() == [3]
    assert written(folder)["overhead"].splitlines()[1].endswith(b",3,0,")


def test_markdown_has_the_overheads_of_each_network_once_whatever_its_fault_models(tmp_path: Path):
    made = ArtificialCampaign(models=["small", "large"], formats=["q15.16", "float32"], faults=["bernoulli", "exact"])
    text = markdown(read_results(made.write(tmp_path)))
    parts = text.split("\n## ")[1:]
    assert len(parts) == 8
    assert [part.partition("\n")[0] for part in parts if "\nOverheads: " in part] == [
        f"digits, {model}, {form}, bernoulli" for model in ("small", "large") for form in ("q15.16", "float32")
    ]
    assert text.count("Overheads: ") == 4


def test_markdown_is_silent_on_overheads_that_are_not_recorded(tmp_path: Path):
    made = ArtificialCampaign()
    folder = made.write_manifest(tmp_path)
    trials = [record for record in made.records if isinstance(record, Trial)]
    write_journal(folder / "journal", "one", trials)
    assert "Overheads" not in markdown(read_results(folder))
    write_journal(folder / "journal", "two", [an_overhead(subject=made.cells[-1]["subject"])])
    table = markdown(read_results(folder)).partition("Overheads")[2]
    assert "\n| clip_act |" in table
    assert "\n| relu |" not in table


def test_markdown_keeps_the_order_of_the_campaign_file(tmp_path: Path):
    schemes = ["Zeta (channel)", "relu", "Alpha", "clip_act"]
    text = markdown(
        read_results(ArtificialCampaign(schemes=schemes, models=["z_net", "a_net"], guards=["secded"]).write(tmp_path))
    )
    rows = [line.split("|")[1].strip() for line in text.splitlines() if " + secded |" in line]
    assert rows == [f"{scheme} + secded" for scheme in schemes] * 8
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## digits, z_net, q15.16",
        "## digits, a_net, q15.16",
    ]


def test_markdown_names_the_guard_of_a_guarded_scheme(tmp_path: Path):
    text = markdown(read_results(ArtificialCampaign(schemes=["relu"], guards=["none", "secded"]).write(tmp_path)))
    assert "\n| relu |" in text
    assert "\n| relu + secded |" in text


@pytest.mark.parametrize(
    ("ber", "text"), [(1e-6, "1e-6"), (2.5e-7, "2.5e-7"), (0.5, "5e-1"), (3e-05, "3e-5"), (1e-10, "1e-10")]
)
def test_a_ber_is_written_as_people_write_it(ber: float, text: str):
    assert ber_text(ber) == text
    assert float(text) == ber


def test_labels_that_a_spreadsheet_would_run_are_written_as_text(tmp_path: Path) -> None:
    labels = ("=HYPERLINK(1)", "+1", "-relu", "@sum", "plain", "a=b")
    results = read_results(ArtificialCampaign(schemes=labels, bers=(1e-6,), trials=1).write(tmp_path))
    cells, trials, *_ = write_tables(results, tmp_path / "tables")
    for path in (cells, trials):
        written = pd.read_csv(path).scheme.tolist()
        assert sorted(written) == sorted(["'=HYPERLINK(1)", "'+1", "'-relu", "'@sum", "plain", "a=b"])
    assert set(results.cells.scheme) == set(labels)
