"""Campaigns whose trials are drawn in strata: the same rows whoever runs them, and the means of plain ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.output.export.table_files import STRATIFIED, write_tables
from faultbench.output.plots import catalogue
from faultbench.output.plots.style import styled
from faultbench.results.analysis.comparison import compare_schemes
from faultbench.results.analysis.hazard_map import hazard_maps
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import read_folder
from faultbench.results.journal.contents import read_journal
from faultbench.results.merge import merge
from faultbench.results.stats import mean_interval
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.local import Local
from faultbench.runner.engines.serial import Serial
from faultbench.runner.replay.replayed_trial import recorded_campaign, replay_trial
from faultbench.runner.run_options import RunOptions
from faultbench.runner.tasks.shards import Shard
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from faultbench.trials.images_per_trial import PILOT_IMAGES
from tests.builders.campaign_texts import problems, small
from tests.builders.runs import begun, finished
from tests.runner.test_campaign_runner import Counting, campaign, tables

pytestmark = pytest.mark.slow

FEW = "images=100"
GRID = ("bers=[2e-7, 1e-5]", "schemes=[relu, clip_act]", FEW)
STRATA = ("sampling=stratified", "trials=60", *GRID)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain trials, and artifacts for the other runs."""
    root = tmp_path_factory.mktemp("plain")
    return run_campaign(campaign(root, "trials=120", *GRID), root, engine=Serial(1), reporter=SilentReporter())


@pytest.fixture(scope="module")
def stratified(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(begun(plain, tmp_path_factory.mktemp("strata"), *STRATA), *STRATA)


def more_tables(folder: Path) -> list[bytes]:
    """Those of hazards and strata too."""
    written = write_tables(read_results(folder), folder / "tables")
    return [path.read_bytes() for path in written if path.stem in (*STRATIFIED, "cells", "trials")]


def test_two_workers_change_no_byte(plain: Path, stratified: Path, tmp_path: Path):
    again = finished(begun(plain, tmp_path, *STRATA), *STRATA, engine=Local(2))
    assert more_tables(again) == more_tables(stratified)


def test_interrupted_runs_go_on_as_if_nothing_had_been(plain: Path, stratified: Path, tmp_path: Path):
    begun(plain, tmp_path, *STRATA)
    for n_chunks in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            finished(tmp_path, *STRATA, engine=Counting(n_chunks))
    assert more_tables(finished(tmp_path, *STRATA)) == more_tables(stratified)
    again = Counting()
    finished(tmp_path, *STRATA, engine=again)
    assert again.n_jobs == 0
    assert len(read_journal(tmp_path / "small" / "journal").hazards) == 2


def test_shards_of_a_folder_are_one_run_and_so_is_a_merger(plain: Path, stratified: Path, tmp_path: Path):
    """The second shard draws by what the first one's pilot found."""
    root = begun(plain, tmp_path, *STRATA)
    for number in (1, 2):
        folder = finished(root, *STRATA, options=RunOptions(shard=Shard(number, 2)))
    pilots = [path.name for path in (folder / "journal").iterdir() if b'"hazards"' in path.read_bytes()]
    assert len(pilots) == 1
    merge(tmp_path / "merged", [folder])
    assert more_tables(folder) == more_tables(tmp_path / "merged") == more_tables(stratified)


def test_plain_cells_keep_their_keys_and_stratified_ones_have_others(tmp_path: Path):
    by_default, plain, stratified = (campaign(tmp_path, *asked) for asked in (GRID, ("sampling=plain", *GRID), STRATA))
    assert [cell.key for cell in by_default.cells] == [cell.key for cell in plain.cells]
    assert not {cell.key for cell in plain.cells} & {cell.key for cell in stratified.cells}
    assert by_default.identity == plain.identity != stratified.identity


def test_means_are_those_of_plain_trials(plain: Path, stratified: Path):
    """Within 4.5 standard errors of the difference; rates add up to one, and intervals hold the means."""
    there, here = read_results(plain).cells, read_results(stratified).cells
    error = (there.variance_trials / there.trials + here.variance_trials / here.trials) ** 0.5
    assert ((there.accuracy_mean - here.accuracy_mean).abs() <= 4.5 * error + 1e-3).all()
    assert here.interval.str.startswith("stratified").any()
    assert (here.masked_rate + here.sdc_rate + here.due_rate).to_numpy() == pytest.approx(1, abs=1e-3)
    assert (here.accuracy_ci_low <= here.accuracy_mean).all()
    assert (here.accuracy_mean <= here.accuracy_ci_high).all()


def test_where_flips_are_rare_the_interval_is_narrower(plain: Path, stratified: Path):
    """60 trials in strata against 60 plain ones."""
    there, here = read_results(plain).trials, read_results(stratified).cells
    first = there[(there.ber == 2e-7) & (there.scheme == "relu") & (there.trial < 60)]
    found = here[(here.ber == 2e-7) & (here.scheme == "relu")].iloc[0]
    assert (found.accuracy_ci_high - found.accuracy_ci_low) / 2 < 0.8 * mean_interval(first.accuracy).half_width


def test_of_trials_in_strata_nothing_is_said_that_they_do_not_tell(stratified: Path):
    results = read_results(stratified)
    split = results.cells[results.cells.interval.str.startswith("stratified")]
    assert split[["accuracy_q05", "accuracy_median", "accuracy_min", "flips_mean"]].isna().all(axis=None)
    assert results.resilience.empty
    assert results.critical.empty
    assert results.attribution.empty
    assert results.trials.stratum.notna().any()
    assert (results.trials.n_flips[results.trials.stratum.notna()] > 0).all()


def test_the_tables_of_hazards_and_strata_say_what_was_drawn(stratified: Path):
    results = read_results(stratified)
    for (scheme, ber), rows in results.strata.dropna(subset="stratum").groupby(["scheme", "ber"]):
        trials = results.trials[(results.trials.scheme == scheme) & (results.trials.ber == ber)]
        assert rows.trials.tolist() == [int((trials.stratum == stratum).sum()) for stratum in rows.stratum]
        assert rows.drawn.sum() == pytest.approx(1)
        assert rows.probability.sum() <= 1 + 1e-9
    assert set(results.strata.scheme) == {"relu", "clip_act"}
    relu = results.hazard[results.hazard.scheme == "relu"]
    n_bits = int(results.cells.n_bits[results.cells.scheme == "relu"].iloc[0])
    assert relu.bits.sum() == n_bits
    assert relu.hazardous.any()
    assert relu[relu.hazardous].harm.min() >= 0.02
    assert relu[relu.bit == 31].harm.max() > 0.02
    assert relu[relu.bit == 0].harm.max() == 0


def test_the_map_of_the_pilot_is_drawn_with_a_panel_a_scheme(plain: Path, stratified: Path):
    draw = catalogue()["hazards"]
    assert draw(read_results(plain)) is None
    with styled():
        figure = draw(read_results(stratified))
    assert figure is not None
    assert {axes.get_title() for axes in figure.axes} >= {"relu", "clip_act"}
    (relu,) = (one for one in hazard_maps(read_results(stratified))[0].maps if one.line.label == "relu")
    top = relu.shown_harm[:, :, 30]
    assert np.nanmax(top[:, 0]) > 0.5
    assert np.nanmax(relu.shown_harm[:, :, 0]) == 0


def test_a_plain_campaign_has_no_tables_of_strata(plain: Path, tmp_path: Path):
    assert not {path.stem for path in write_tables(read_results(plain), tmp_path)} & {*STRATIFIED}


def test_a_replayed_trial_has_the_flips_that_it_had(stratified: Path):
    folder = read_folder(stratified)
    for entry in folder.manifest.cells:
        again = replay_trial(
            recorded_campaign(stratified), folder, entry, folder.trials[entry.cell][7], reporter=SilentReporter()
        )
        assert again.differences == []


def test_schemes_are_compared_by_what_their_trials_say(stratified: Path):
    results = read_results(stratified).cells
    means = results.set_index(["scheme", "ber"]).accuracy_mean
    for pair in compare_schemes(read_folder(stratified), "relu", "clip_act"):
        assert pair.interval.startswith("stratified") == (pair.ber < 1e-6)  # at 1e-5 a rate's interval would be wider
        assert pair.difference == pytest.approx(means["clip_act", pair.ber] - means["relu", pair.ber], abs=1e-9)
        assert pair.difference_ci_low <= pair.difference <= pair.difference_ci_high


@pytest.mark.parametrize("images", ["{per_trial: 24, of: 100}", "{per_trial: auto, of: 100}"])
def test_strata_and_a_few_images_a_trial_go_together(images: str, plain: Path, tmp_path: Path):
    asked = ("sampling=stratified", "trials=60", f"images={images}", GRID[0], "schemes=[clip_act]")
    there = read_results(plain).cells.query("scheme == 'clip_act'").reset_index()
    here = read_results(finished(begun(plain, tmp_path, *asked), *asked)).cells
    error = (there.variance_trials / there.trials + (here.variance_trials + here.variance_images) / here.trials) ** 0.5
    assert ((there.accuracy_mean - here.accuracy_mean).abs() <= 4.5 * error + 1e-3).all()
    trials = read_results(tmp_path / "small").trials
    assert set(trials[trials.trial < N_PILOT].n_images) == {PILOT_IMAGES if "auto" in images else 24}


def test_cells_end_when_their_weighted_interval_is_narrow(plain: Path, tmp_path: Path):
    until = "trials={max: 400, min: 20, until: {accuracy_halfwidth: 0.04}}"
    asked = ("sampling=stratified", until, GRID[0], FEW, "schemes=[clip_act]")
    cells = read_results(finished(begun(plain, tmp_path, *asked), *asked)).cells
    half_widths = (cells.accuracy_ci_high - cells.accuracy_ci_low) / 2
    assert ((half_widths <= 0.04) | (cells.trials == 400)).all()
    assert (cells.trials < 400).any()
    assert not cells.limited.any()
    assert set(cells.interval) & {"stratified-betting-sequence"}


def test_trials_without_their_strata_are_left_out(stratified: Path, tmp_path: Path):
    folder = shutil.copytree(stratified, tmp_path / "small")
    for file in (folder / "journal").iterdir():
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(line for line in lines if b'"strata"' not in line))
    results = read_results(folder)
    assert len(results.trials) == int(read_results(stratified).trials.stratum.isna().sum())
    assert any("without a golden run or strata" in remark for remark in results.remarks)
    assert tables(finished(tmp_path, *STRATA)) == tables(stratified)


@pytest.mark.parametrize("sampling", ["exhaustive", "3", "[stratified]"])
def test_sampling_that_is_not_known_is_an_error_of_the_file(sampling: str):
    (problem,) = problems(small(sampling=sampling))
    assert problem.startswith("small.yaml:7:")
    assert "stratified" in problem


@pytest.mark.parametrize("fault", ["exact", "toolbox"])
def test_strata_of_a_fault_model_whose_bits_do_not_flip_by_themselves_are_refused(fault: str):
    (problem,) = problems(small(sampling="stratified", faults=f"[bernoulli, {fault}]"))
    assert f"given {fault}" in problem
    assert not problems(small(sampling="plain", faults=f"[bernoulli, {fault}]"))


def test_a_folder_of_plain_trials_takes_none_in_strata(plain: Path):
    with pytest.raises(FaultbenchError, match="sampling plain there, stratified here"):
        finished(plain.parent, *STRATA)


def test_the_command_line_refuses_them_in_a_line(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(small(sampling="stratified", faults="[exact]"))
    asked = [sys.executable, "-m", "faultbench", "validate", str(tmp_path / "c.yaml")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "sampling: stratified needs bernoulli" in done.stderr
