"""Running campaigns: what is missing is done, nothing else; the same rows whoever does it."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from faultbench.campaign import Campaign, load_campaign
from faultbench.output.export.table_files import write_tables
from faultbench.results.analysis.results import read_results
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Quarantine
from faultbench.results.manifest_file import check_same_campaign
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.engine import Engine
from faultbench.runner.engines.local import Local
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import RunOptions
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.tasks.tasks import TrialChunk
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.progress.reporter import SilentReporter

CAMPAIGN = """
name: small
seed: 7
datasets: [digits]
models: [digits_cnn]
training: {epochs: 8}
schemes: [relu, clip_act, {name: ranger, granularity: neuron}]
bers: [1e-7, 1e-5]
trials: 5
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished results folder, whose artifacts spare the other runs the training."""
    root = tmp_path_factory.mktemp("trained")
    return run_campaign(campaign(root), root, engine=Serial(1), reporter=SilentReporter())


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A folder for results with the artifacts of `small` and a manifest, but no trial yet."""
    folder = tmp_path / "small"
    folder.mkdir()
    shutil.copytree(trained / "artifacts", folder / "artifacts")
    shutil.copy(trained / "manifest.json", folder)
    return tmp_path


def campaign(folder: Path, *overrides: str, text: str = CAMPAIGN) -> Campaign:
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return load_campaign(path, overrides)


def tables(folder: Path) -> dict[str, bytes]:
    """cells.csv and trials.csv, which the same campaign always gives byte for byte."""
    paths = write_tables(read_results(folder), folder / "tables")
    return {path.name: path.read_bytes() for path in paths if path.name != "overhead.csv"}


class Counting(Serial):
    """The serial engine, counting trials; interrupted like by Ctrl-C after so many chunks."""

    def __init__(self, n_chunks_left: int = 10**9) -> None:
        super().__init__(1)
        self.n_jobs, self.n_chunks_left = 0, n_chunks_left

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        super().submit(ticket, partial(self._counted, function) if isinstance(task, TrialChunk) else function, task)

    def _counted(self, function: Callable[[Any], Any], task: Any) -> Any:
        if self.n_chunks_left == 0:
            raise KeyboardInterrupt
        self.n_chunks_left -= 1
        self.n_jobs += len(task.jobs)
        return function(task)


@pytest.mark.parametrize("engine", [Local(1), Local(2)], ids=["1 worker", "2 workers"])
def test_workers_change_no_byte_of_the_tables(engine: Engine, trained: Path, root: Path) -> None:
    folder = run_campaign(campaign(root), root, engine=engine, reporter=SilentReporter())
    assert tables(folder) == tables(trained)


ADAPTIVE = "trials={max: 24, min: 5, until: {accuracy_halfwidth: 0.2, confidence: 0.9}}"
"""Looked at after 5, 8, 12, 18 and 24 trials."""


@pytest.fixture(scope="module")
def adaptive(trained: Path) -> Path:
    """The campaign run until it is certain, in one go by one worker."""
    root = trained.parent / "adaptive"
    shutil.copytree(trained / "artifacts", root / "small" / "artifacts")
    shutil.copy(trained / "manifest.json", root / "small")
    return run_campaign(campaign(root, ADAPTIVE), root, engine=Serial(1), reporter=SilentReporter())


def test_trials_go_to_the_cells_that_need_them(adaptive: Path) -> None:
    cells = read_results(adaptive).cells
    assert not cells.limited.any()
    half_widths = (cells.accuracy_ci_high - cells.accuracy_ci_low) / 2
    done = (half_widths <= 0.2) | (cells.trials == 24)
    assert done.all()
    assert set(cells.trials) <= {5, 8, 12, 18, 24}
    assert len(set(cells.trials)) > 1
    assert set(cells.interval) == {"betting-sequence"}
    assert set(cells.confidence) == {0.9}


@pytest.mark.slow
@pytest.mark.parametrize("engine", [Local(1), Local(2)], ids=["1 worker", "2 workers"])
def test_workers_do_not_change_where_a_cell_stops(engine: Engine, adaptive: Path, root: Path) -> None:
    folder = run_campaign(campaign(root, ADAPTIVE), root, engine=engine, reporter=SilentReporter())
    assert tables(folder) == tables(adaptive)


@pytest.mark.slow
@pytest.mark.parametrize("n_chunks", [1, 3, 8])
def test_an_interruption_does_not_change_where_a_cell_stops(
    n_chunks: int, adaptive: Path, root: Path, monkeypatch
) -> None:
    monkeypatch.setattr("faultbench.runner.tasks.chunks.MAX_CHUNK", 4)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(campaign(root, ADAPTIVE), root, engine=Counting(n_chunks_left=n_chunks), reporter=SilentReporter())
    folder = run_campaign(campaign(root, ADAPTIVE), root, engine=Local(2), reporter=SilentReporter())
    assert tables(folder) == tables(adaptive)


@pytest.mark.slow
def test_a_limit_ends_adaptive_cells_early_and_a_later_run_goes_on(adaptive: Path, root: Path) -> None:
    folder = run_campaign(
        campaign(root, ADAPTIVE), root, engine=Serial(1), reporter=SilentReporter(), options=RunOptions(limit=6)
    )
    cells, whole = read_results(folder).cells, read_results(adaptive).cells
    assert cells.trials.tolist() == [min(6, n) for n in whole.trials]
    assert cells.limited.tolist() == [n > 6 for n in whole.trials]
    run_campaign(campaign(root, ADAPTIVE), root, engine=Serial(1), reporter=SilentReporter())
    assert tables(folder) == tables(adaptive)


@pytest.mark.slow
def test_an_adaptive_cell_goes_no_further_than_a_quarantined_trial_allows(adaptive: Path, root: Path) -> None:
    with Journal(root / "small" / "journal", "before") as journal:
        for cell in campaign(root, ADAPTIVE).cells:
            journal.append(Quarantine(cell.key, 3, 3, "it killed its worker").to_record())
    folder = run_campaign(campaign(root, ADAPTIVE), root, engine=Serial(1), reporter=SilentReporter())
    assert set(read_results(folder).cells.trials) == {4}
    retried = RunOptions(retry_quarantined=True)
    run_campaign(campaign(root, ADAPTIVE), root, engine=Serial(1), reporter=SilentReporter(), options=retried)
    assert tables(folder) == tables(adaptive)


def test_a_finished_adaptive_campaign_run_again_does_nothing(adaptive: Path) -> None:
    before = tables(adaptive)
    again = Counting()
    run_campaign(campaign(adaptive.parent, ADAPTIVE), adaptive.parent, engine=again, reporter=SilentReporter())
    assert again.n_jobs == 0
    assert tables(adaptive) == before


@pytest.mark.slow
def test_trials_of_a_fixed_number_count_for_an_adaptive_campaign(trained: Path, adaptive: Path, root: Path) -> None:
    shutil.copytree(trained / "journal", root / "small" / "journal")
    more = Counting()
    folder = run_campaign(campaign(root, ADAPTIVE), root, engine=more, reporter=SilentReporter())
    assert more.n_jobs == int(read_results(adaptive).cells.trials.sum()) - 30  # 3 schemes × 2 BERs × 5 trials
    assert tables(folder) == tables(adaptive)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_was_and_ends_the_same(trained: Path, root: Path, monkeypatch) -> None:
    monkeypatch.setattr("faultbench.runner.tasks.chunks.MAX_CHUNK", 4)
    stopped = Counting(n_chunks_left=2)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(campaign(root), root, engine=stopped, reporter=SilentReporter())
    resumed = Counting()
    folder = run_campaign(campaign(root), root, engine=resumed, reporter=SilentReporter())
    assert 0 < stopped.n_jobs < 30
    assert stopped.n_jobs + resumed.n_jobs == 30  # 3 schemes × 2 BERs × 5 trials, none twice
    assert tables(folder) == tables(trained)


def test_a_finished_campaign_run_again_does_nothing(trained: Path) -> None:
    before = (trained / "journal").stat().st_mtime_ns, [p.read_bytes() for p in (trained / "journal").iterdir()]
    again = Counting()
    run_campaign(campaign(trained.parent), trained.parent, engine=again, reporter=SilentReporter())
    assert again.n_jobs == 0
    assert before[1] == [p.read_bytes() for p in (trained / "journal").iterdir()]


def test_more_trials_bers_and_schemes_keep_the_rows_there_are(trained: Path, root: Path) -> None:
    shutil.copytree(trained / "journal", root / "small" / "journal")
    more = Counting()
    grown = campaign(root, "trials=6", "bers=[1e-7, 1e-6, 1e-5]", "schemes=[relu, clip_act]")
    folder = run_campaign(grown, root, engine=more, reporter=SilentReporter())
    assert more.n_jobs == 2 * (1 + 6 + 1)
    assert set(read_journal(trained / "journal").trials.items()) < set(read_journal(folder / "journal").trials.items())


def test_a_damaged_line_is_run_again(trained: Path, root: Path) -> None:
    journal = shutil.copytree(trained / "journal", root / "small" / "journal")
    path = next(journal.iterdir())
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = next(number for number, line in enumerate(lines) if b'"trial"' in line)
    lines[damaged] = lines[damaged].replace(b"n_flips", b"n_flipz")
    path.write_bytes(b"".join(lines))
    again = Counting()
    folder = run_campaign(campaign(root), root, engine=again, reporter=SilentReporter())
    assert again.n_jobs == 1
    assert tables(folder) == tables(trained)


def test_limit_ends_every_cell_early_and_the_table_says_so(root: Path) -> None:
    folder = run_campaign(
        campaign(root), root, engine=Serial(1), reporter=SilentReporter(), options=RunOptions(limit=2)
    )
    cells = read_results(folder).cells
    assert (cells.trials == 2).all()
    assert cells.limited.all()


@pytest.mark.slow
def test_deleted_artifacts_are_made_again_equal(trained: Path, root: Path) -> None:
    shutil.rmtree(root / "small" / "artifacts")
    shutil.copytree(trained / "journal", root / "small" / "journal")
    run_campaign(
        campaign(root), root, engine=Serial(1), reporter=SilentReporter()
    )  # another golden run would be refused
    stores = ArtifactStore(trained / "artifacts"), ArtifactStore(root / "small" / "artifacts")
    for path in stores[0].folder.iterdir():
        old, new = (store.load(path.stem) for store in stores)
        assert old is not None
        assert new is not None
        assert old.tensors.keys() == new.tensors.keys()
        assert all(torch.equal(old.tensors[name], new.tensors[name]) for name in old.tensors)


KILLED = """
import os, signal, sys
from pathlib import Path
from faultbench.runner import run_record
from faultbench.runner import campaign_runner as runner
from faultbench.campaign import load_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.system.progress.reporter import SilentReporter

run_record.write_manifest = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
runner.run_campaign(load_campaign(sys.argv[1]), Path(sys.argv[2]), engine=Serial(1), reporter=SilentReporter())
"""


@pytest.mark.slow
def test_a_run_killed_before_its_first_word_does_not_stand_in_the_way(tmp_path: Path) -> None:
    again = campaign(tmp_path)
    command = [sys.executable, "-c", KILLED, str(again.source), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = {path.name for path in (tmp_path / "small").iterdir()}
    assert left == {".lock", ".lock.manifest", ".lock.runs", "journal"}
    (tmp_path / "small" / "tables").mkdir()  # no run gets so far without a manifest
    with pytest.raises(FaultbenchError, match="holds no faultbench results"):
        run_campaign(again, tmp_path, engine=Serial(1), reporter=SilentReporter())
    (tmp_path / "small" / "tables").rmdir()
    check_same_campaign(tmp_path / "small", again)
    (tmp_path / "small" / "journal" / "other.jsonl").write_text("{}")
    with pytest.raises(FaultbenchError, match="holds no faultbench results"):
        check_same_campaign(tmp_path / "small", again)


@pytest.mark.slow
def test_artifacts_alone_are_where_a_run_may_begin(trained: Path, tmp_path: Path) -> None:
    again = campaign(tmp_path)
    kept = shutil.copytree(trained / "artifacts", tmp_path / "small" / "artifacts")
    made = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    folder = run_campaign(again, tmp_path, engine=Serial(1), reporter=SilentReporter())
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == made  # nothing was trained or fitted again
    assert read_journal(folder / "journal").trials == read_journal(trained / "journal").trials


def test_another_campaign_of_the_same_name_is_refused_and_nothing_is_written(trained: Path, root: Path) -> None:
    before = sorted(root.rglob("*"))
    with pytest.raises(FaultbenchError, match="another campaign of this name: seed 7 there, 8 here"):
        run_campaign(campaign(root, "seed=8"), root, engine=Serial(1), reporter=SilentReporter())
    assert sorted(root.rglob("*")) == sorted([*before, root / "small.yaml"])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "thesis.tex").touch()
    with pytest.raises(FaultbenchError, match="holds no faultbench results"):
        run_campaign(campaign(tmp_path), tmp_path, engine=Serial(1), reporter=SilentReporter())


def test_a_golden_run_that_differs_from_the_recorded_one_is_refused(trained: Path, root: Path) -> None:
    shutil.copytree(trained / "journal", root / "small" / "journal")
    manifest = root / "small" / "manifest.json"  # as versions wrote it that did not say what results were made of
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "data": {}, "made_of": {}}))
    store = ArtifactStore(root / "small" / "artifacts")
    name = next(store.folder.glob("weights-*")).stem
    sound = store.load(name)
    assert sound is not None
    store.save(name, Artifact({key: -tensor for key, tensor in sound.tensors.items()}, sound.notes))
    with pytest.raises(FaultbenchError, match="recorded with another golden run"):
        run_campaign(campaign(root, "trials=50"), root, engine=Serial(1), reporter=SilentReporter())


@pytest.mark.slow
def test_golden_runs_are_left_to_the_workers(root: Path, monkeypatch) -> None:
    monkeypatch.setattr(SubjectBuilder, "evaluation", lambda *_: pytest.fail("the main process does one"))
    folder = run_campaign(campaign(root), root, engine=Local(2), reporter=SilentReporter())
    assert len(read_journal(folder / "journal").goldens) == 3


@pytest.mark.slow
def test_only_networks_that_lack_trials_are_opened(trained: Path, root: Path, monkeypatch) -> None:
    shutil.copytree(trained / "journal", root / "small" / "journal")
    opened, evaluation = [], SubjectBuilder.evaluation
    monkeypatch.setattr(SubjectBuilder, "evaluation", lambda bench, *of: opened.append(of[0]) or evaluation(bench, *of))
    folder = run_campaign(campaign(root), root, engine=Serial(1), reporter=SilentReporter())
    assert opened == []
    assert tables(folder) == tables(trained)
    more = "schemes=[relu, clip_act, {name: ranger, granularity: neuron}, {name: clip_act, quantile: 0.9, label: new}]"
    run_campaign(campaign(root, more), root, engine=Serial(1), reporter=SilentReporter())
    assert [subject.scheme.label for subject in opened] == ["new"]


@pytest.mark.slow
def test_each_network_is_opened_once_by_a_worker_that_keeps_one_at_a_time(root: Path, monkeypatch) -> None:
    opened, evaluation = [], SubjectBuilder.evaluation
    monkeypatch.setattr(
        SubjectBuilder, "evaluation", lambda bench, *of: opened.append(of[0].key) or evaluation(bench, *of)
    )
    folder = run_campaign(
        campaign(root), root, engine=Serial(1), reporter=SilentReporter(), options=RunOptions(memory_bytes=1)
    )
    assert sorted(opened) == sorted(read_journal(folder / "journal").goldens)


def test_a_golden_run_that_no_worker_gets_done_ends_the_run_naming_its_network(root: Path, monkeypatch) -> None:
    def raising(*_: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("faultbench.runner.tasks.worker.golden_record", raising)
    with pytest.raises(
        EngineError, match=r"digits/digits_cnn/relu.*golden run: no worker does it: RuntimeError: out of luck"
    ):
        run_campaign(campaign(root), root, engine=Serial(1), reporter=SilentReporter())


@pytest.mark.slow
def test_fresh_puts_the_old_results_aside_and_loses_none(trained: Path, root: Path) -> None:
    shutil.copytree(trained / "journal", root / "small" / "journal")
    run_campaign(
        campaign(root, "schemes=[relu]", "trials=1"), root, engine=Serial(1), reporter=SilentReporter(), fresh=True
    )
    assert len(read_journal(root / "small" / "journal").trials) == 2
    assert read_journal(root / "small~1" / "journal").trials == read_journal(trained / "journal").trials


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("images=501", "more than the 500 test images of digits"),
        ("models=[resnet20]", "resnet20 takes 32×32 images; given 8×8"),
    ],
)
def test_what_cannot_run_is_found_before_anything_is_written(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError, match=message):
        run_campaign(campaign(tmp_path, override), tmp_path / "results", engine=Serial(1), reporter=SilentReporter())
    assert not (tmp_path / "results").exists()


def test_trials_of_all_schemes_meet_the_same_weight_flips_and_nested_ones(trained: Path) -> None:
    trials = read_results(trained).trials
    flips = trials[trials.scheme.isin(["relu"])].pivot_table(index="trial", columns="ber", values="n_flips")
    assert (flips[1e-7] <= flips[1e-5]).all()
    protected = trials[trials.scheme == "clip_act"].pivot_table(index="trial", columns="ber", values="n_flips")
    assert (protected[1e-5] >= flips[1e-5]).all()  # the same, and those in the bounds


def test_the_manifest_names_everything_that_the_numbers_depend_on(trained: Path) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["spec"]["training"] == {"schedule": "fast", "epochs": 8}  # the schedule is a default, written out
    assert set(manifest["environment"]) >= {"python", "torch", "processor"}
    assert len(manifest["data"]["test images"]["digits"]) == 64
    assert len(manifest["data"]["stored weights"]["digits/digits_cnn/q15.16"]) == 64
    assert len(manifest["cells"]) == 6
