"""Campaigns whose trials look at a few images each: the same rows whoever runs them, and the right means."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import read_folder
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.records import Trial
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.engine import Engine
from faultbench.runner.engines.local import Local
from faultbench.runner.engines.serial import Serial
from faultbench.runner.replay.replayed_trial import recorded_campaign, replay_trial
from faultbench.runner.run_options import RunOptions
from faultbench.runner.subjects.components import build_components
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from faultbench.trials.images_per_trial import PILOT_IMAGES, choose_n_images
from tests.builders.campaign_texts import problems, small
from tests.builders.runs import begun, finished
from tests.runner.test_campaign_runner import Counting, campaign, tables

pytestmark = pytest.mark.slow

SCHEMES = "schemes=[relu, clip_act]"
AUTO = ("images=auto", "trials=60", "bers=[1e-5, 1e-4]", SCHEMES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole test set in every trial, and artifacts for the other runs."""
    root = tmp_path_factory.mktemp("all")
    return run_campaign(
        campaign(root, "trials=60", "bers=[1e-5, 1e-4]", SCHEMES), root, engine=Serial(1), reporter=SilentReporter()
    )


@pytest.fixture(scope="module")
def automatic(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(begun(trained, tmp_path_factory.mktemp("auto"), *AUTO), *AUTO)


def by_cell(folder: Path) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for (cell, _), trial in sorted(read_journal(folder / "journal").trials.items()):
        found.setdefault(cell, []).append(trial)
    return found


@pytest.mark.parametrize("engine", [Local(1), Local(2)], ids=["1 worker", "2 workers"])
def test_workers_change_no_byte(engine: Engine, trained: Path, automatic: Path, tmp_path: Path) -> None:
    assert tables(finished(begun(trained, tmp_path, *AUTO), *AUTO, engine=engine)) == tables(automatic)


def test_interrupted_runs_go_on_as_if_nothing_had_been(trained: Path, automatic: Path, tmp_path: Path) -> None:
    begun(trained, tmp_path, *AUTO)
    for n_chunks in (1, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            finished(tmp_path, *AUTO, engine=Counting(n_chunks))
    assert tables(finished(tmp_path, *AUTO)) == tables(automatic)
    again = Counting()
    finished(tmp_path, *AUTO, engine=again)
    assert again.n_jobs == 0


def test_staging_changes_no_row(trained: Path, automatic: Path, tmp_path: Path) -> None:
    whole = finished(begun(trained, tmp_path, *AUTO), *AUTO, options=RunOptions(memory_bytes=0))
    assert tables(whole) == tables(automatic)


def test_the_pilot_says_how_many_images_the_others_look_at(trained: Path, automatic: Path) -> None:
    asked = campaign(automatic.parent, *AUTO)
    goldens, chosen = read_journal(automatic / "journal").goldens, set()
    for cell in asked.cells:
        trials = by_cell(automatic)[cell.key]
        assert {trial.n_images for trial in trials[:N_PILOT]} == {PILOT_IMAGES}
        (n_images,) = {trial.n_images for trial in trials[N_PILOT:]}
        cost = build_components(cell.subject).overhead_images
        assert n_images == choose_n_images(trials[:N_PILOT], goldens[cell.subject.key], overhead_images=cost)
        chosen.add(n_images)
    assert len(chosen) > 1


def test_flips_are_those_of_trials_over_all_images(trained: Path, automatic: Path) -> None:
    digests = [sorted((t.trial, t.flips_digest) for ts in by_cell(folder).values() for t in ts) for folder in
               (trained, automatic)]  # fmt: skip
    assert digests[0] == digests[1]


def test_means_are_those_over_all_images_within_what_sampling_leaves_open(trained: Path, automatic: Path) -> None:
    """The same flips in both: the difference of means has the variance within trials only."""
    whole, sampled = read_results(trained).cells, read_results(automatic).cells
    error = (whole.accuracy_mean - sampled.accuracy_mean).abs()
    sd = (sampled.variance_images / sampled.images_per_trial / sampled.trials) ** 0.5
    assert (error <= 4.5 * sd + 1e-9).all()
    assert (sd > 0).any()
    assert (sampled.images == 500).all()
    assert (sampled.images_per_trial < 100).all()
    assert sampled.accuracy_q05.isna().all()
    assert sampled.accuracy_min.isna().all()


def test_a_trial_over_every_image_counts_what_one_without_sampling_does(trained: Path, tmp_path: Path) -> None:
    asked = ("images={per_trial: 500}", "trials=20", "bers=[1e-4]", SCHEMES)
    every = finished(begun(trained, tmp_path, *asked), *asked)
    for scheme in ("relu", "clip_act"):
        frames = [read_results(folder).trials for folder in (trained, every)]
        of_all, of_every = (f[(f.ber == 1e-4) & (f.trial < 20) & (f.scheme == scheme)] for f in frames)
        for column in ("n_images", "n_correct", "n_masked", "n_sdc", "n_sdc_critical", "n_due", "accuracy"):
            assert of_all[column].tolist() == pytest.approx(of_every[column].tolist(), abs=1e-12)


def test_cells_until_they_are_narrow_look_at_few_images(trained: Path, tmp_path: Path) -> None:
    until = "trials={max: 400, min: 10, until: {accuracy_halfwidth: 0.1}}"
    asked = ("images=auto", until, "bers=[1e-5, 1e-4]", SCHEMES)
    cells = read_results(finished(begun(trained, tmp_path, *asked), *asked)).cells
    half_widths = (cells.accuracy_ci_high - cells.accuracy_ci_low) / 2
    assert ((half_widths <= 0.1) | (cells.trials == 400)).all()
    assert (cells.trials >= N_PILOT).all()
    assert not cells.limited.any()


def test_without_its_golden_run_a_sample_counts_as_missing(automatic: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(automatic, tmp_path / "small")
    for file in (folder / "journal").iterdir():
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(line for line in lines if b'"golden"' not in line))
    results = read_results(folder)
    assert results.cells.accuracy_mean.isna().all()
    assert any("without a golden run" in remark for remark in results.remarks)
    assert tables(finished(tmp_path, *AUTO)) == tables(automatic)


def test_more_images_a_trial_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError, match="per_trial: 501 is more than the 500 test images"):
        finished(tmp_path, "images={per_trial: 501}")
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    "images", ["{per_trial: 1}", "{per_trial: few}", "{of: 100}", "{per_trial: 8, off: 9}", "some", "{per_trial: 2.5}"]
)
def test_images_that_mean_nothing_are_an_error_of_the_file(images: str) -> None:
    (problem,) = problems(small(images=images))
    assert problem.startswith("small.yaml:7:")
    assert "images" in problem


def test_sampling_is_part_of_a_cells_identity(tmp_path: Path) -> None:
    asked = ("images=all", "images=auto", "images={per_trial: 16}", "images={per_trial: 16, of: 100}", "images=100")
    keys = {campaign(tmp_path, images).cells[0].key for images in asked}
    assert len(keys) == len(asked)
    spelled = campaign(tmp_path, "images={per_trial: auto}").cells[0]
    assert spelled.key == campaign(tmp_path, "images=auto").cells[0].key
    assert replace(spelled.subject, per_trial=None).key == campaign(tmp_path).cells[0].subject.key


@pytest.mark.parametrize("number", [3, N_PILOT + 5])
def test_a_replayed_trial_looks_at_the_images_that_it_looked_at(automatic: Path, number: int) -> None:
    folder = read_folder(automatic)
    for entry in folder.manifest.cells:
        stored = folder.trials[entry.cell][number]
        again = replay_trial(recorded_campaign(automatic), folder, entry, stored, reporter=SilentReporter())
        assert again.differences == []
        assert len(again.rows) == stored.n_images
