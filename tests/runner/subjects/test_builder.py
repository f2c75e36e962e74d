"""From a subject to the real thing: targets, patterns, bits, artifacts, interrupted fittings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from faultbench.campaign import Subject, parse_campaign
from faultbench.networks.training import RECIPES
from faultbench.runner.subjects import builder as subjects
from faultbench.runner.subjects import training_checkpoint as epochs
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.fitting_checkpoint import FittingCheckpoint, read_fitted
from faultbench.runner.subjects.training_checkpoint import TrainingCheckpoint
from faultbench.schemes import fitact
from faultbench.schemes.ft_clipact import FtClipAct
from faultbench.schemes.hyrelu_proact import ProgressiveTraining
from faultbench.schemes.scheme import Fitted
from faultbench.system import threads
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.trained import share_training

CAMPAIGN = """
name: small
datasets: [{dataset}]
models: [{model}]
schemes: [{scheme}]
formats: [{format}]
faults: [{{name: bernoulli, {fault}}}]
bers: [1e-6]
"""


def subject(**choices: str) -> Subject:
    chosen = {"dataset": "digits", "model": "digits_cnn", "scheme": "clip_act", "format": "q15.16", "fault": ""}
    return parse_campaign(CAMPAIGN.format(**{**chosen, **choices}), Path("small.yaml")).subjects[0]


def names(**choices: str) -> list[str]:
    built = build_components(subject(**choices))
    return [item.name for item in built.fault_space(built.untrained_network).stored]


def test_all_weights_biases_and_bounds_are_targets_unless_the_campaign_says_otherwise() -> None:
    built = build_components(subject())
    assert built.n_bits == 32 * (133_354 + 5)
    assert build_components(subject(fault="targets: [bounds]")).n_bits == 32 * 5


def test_a_pattern_limits_the_targets_to_layers_and_sites_that_it_matches() -> None:
    assert names(fault="layers: ['classifier.*']") == [
        "classifier.0.weight",
        "classifier.0.bias",
        "bounds.classifier.1",
        "classifier.2.weight",
        "classifier.2.bias",
    ]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("layers: ['classifier.*', 'head.*']", r"'head\.\*'"),
        ("layers: ['classifier.1'], targets: [weights]", "keeps nothing of targets"),
        ("targets: [norm_parameters]", "keeps nothing of targets"),
        ("bits: [31, 32]", "at most 31"),
        ("bits: [9, 8]", "bits 0 to 31"),
    ],
)
def test_targets_that_are_not_there_are_an_error(fault: str, message: str) -> None:
    with pytest.raises(FaultbenchError, match=message):
        names(fault=fault)


def test_bits_of_a_narrow_word_are_checked_against_it() -> None:
    with pytest.raises(FaultbenchError, match="bfloat16 words, which have bits 0 to 15"):
        names(format="bfloat16", fault="bits: [8, 16]")
    assert build_components(subject(format="bfloat16", fault="bits: [8, 15], targets: [biases]")).n_bits == 8 * 458


def test_norms_are_targets_where_they_are_asked_for() -> None:
    resnet = {"dataset": "cifar10", "model": "resnet20", "scheme": "relu"}
    assert not any("bn" in name for name in names(**resnet))
    stored = names(**resnet, fault="targets: [norm_parameters, norm_statistics]")
    assert len(stored) == 4 * 19
    assert stored[:4] == ["bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"]


def fitted(scheme: str, artifacts: Path) -> Fitted:
    return SubjectBuilder(ArtifactStore(artifacts), SilentReporter()).fit(subject(scheme=scheme))[0]


class Interrupted(Exception):  # noqa: N818 - stands for Ctrl-C
    """What ends a fitting early."""


def after(n_calls: int, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, interrupted when it is called for the n-th time."""
    left = [n_calls]

    def limited(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        return method(*arguments, **options)

    return limited


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "owner", "step"),
    [
        ("{name: ft_clipact, injections: 1}", FtClipAct, "_with_site"),
        ("{name: hyrelu_proact, train_images: 64}", ProgressiveTraining, "shrink"),
    ],
)
def test_an_interrupted_fitting_goes_on_at_the_last_finished_site_and_ends_the_same(
    scheme: str, owner: type, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = fitted(scheme, tmp_path)
    for path in tmp_path.glob("bounds-*"):
        path.unlink()
    method = getattr(owner, step)
    monkeypatch.setattr(owner, step, after(3, method))
    with pytest.raises(Interrupted):
        fitted(scheme, tmp_path)
    assert len(list(tmp_path.glob("partial-*"))) == 1
    monkeypatch.setattr(owner, step, after(2, method))  # of 5 sites, 2 are left
    resumed = fitted(scheme, tmp_path)
    assert resumed.bounds.keys() == undisturbed.bounds.keys()
    assert all(torch.equal(resumed.bounds[name], bounds) for name, bounds in undisturbed.bounds.items())
    assert (resumed.n_epochs, resumed.n_injections) == (undisturbed.n_epochs, undisturbed.n_injections)
    assert not list(tmp_path.glob("partial-*"))


@pytest.mark.slow
def test_an_interrupted_training_of_bounds_goes_on_at_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "KEPT_EVERY_S", 0.0)
    monkeypatch.setitem(fitact.RECIPES, "fast", replace(fitact.RECIPES["fast"], n_epochs=4))
    scheme = "{name: fitact, train_images: 64}"
    undisturbed = fitted(scheme, tmp_path)
    for path in tmp_path.glob("bounds-*"):
        path.unlink()
    remember = TrainingCheckpoint.remember
    monkeypatch.setattr(TrainingCheckpoint, "remember", after(3, remember))
    with pytest.raises(Interrupted):
        fitted(scheme, tmp_path)
    monkeypatch.setattr(TrainingCheckpoint, "remember", after(1, remember))  # of 4 epochs, 1 is left
    resumed = fitted(scheme, tmp_path)
    assert all(torch.equal(resumed.bounds[name], bounds) for name, bounds in undisturbed.bounds.items())
    assert not list(tmp_path.glob("partial-*"))


def test_time_before_an_interruption_counts(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.save("partial", Artifact({}, {"fit_s": "100.0", "n_epochs": "3", "n_injections": "0"}))
    resumed = FittingCheckpoint(store, "partial", "a fitting")
    assert resumed.load().n_epochs == 3
    assert 100 < resumed.fit_s < 160


@pytest.mark.slow
def test_how_far_bounds_lie_below_the_maxima_is_found_once_and_kept(tmp_path: Path) -> None:
    bench = SubjectBuilder(ArtifactStore(tmp_path), SilentReporter())
    quantile = subject(scheme="{name: clip_act, quantile: 0.9}")
    first, again = bench.fit(quantile)[0], bench.fit(quantile)[0]
    assert first.bounds_to_maxima == again.bounds_to_maxima
    assert 0 < (again.bounds_to_maxima or 0) < 1
    assert bench.fit(subject(scheme="relu"))[0].bounds_to_maxima is None


def test_bounds_of_an_earlier_version_come_without_their_ratio_to_the_maxima() -> None:
    notes = {"fit_s": "1.0", "n_epochs": "3", "n_injections": "7"}
    assert read_fitted(Artifact({}, notes)) == Fitted({}, 3, 7, None)


@pytest.mark.parametrize(
    ("cores", "variable", "limit", "expected"),
    [
        (8, None, None, 8), (8, "3", None, 3), (8, "3,2", None, 3), (8, "", None, 8), (8, "all", 2, 2),
        (8, "0", None, 8), (2, "4", 6, 2), (8, "5", 3, 3),
    ],
)  # fmt: skip
def test_fitting_uses_no_more_threads_than_it_was_given(
    cores: int, variable: str | None, limit: int | None, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(threads, "cpu_count", lambda: cores)
    monkeypatch.setattr(subjects, "PARALLEL_MACS", 0)  # every network counts as large
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    asked: list[int] = []

    @contextmanager
    def asking(n_threads: int) -> Iterator[None]:
        asked.append(n_threads)
        yield

    monkeypatch.setattr(subjects, "threads", asking)
    monkeypatch.setitem(RECIPES, "fast", replace(RECIPES["fast"], n_epochs=1))
    SubjectBuilder(ArtifactStore(tmp_path), SilentReporter(), n_threads=limit).fit(subject())
    assert asked == [expected, expected]  # of the training and of the fitting


def test_a_process_that_runs_tests_of_two_rooms_shares_training_once(tmp_path: Path) -> None:
    with share_training(tmp_path / "first"):
        once = SubjectBuilder._train
        with share_training(tmp_path / "second"):
            assert SubjectBuilder._train is once
        assert SubjectBuilder._train is once
