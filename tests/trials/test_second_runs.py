"""`--paranoid` ends a run if a fast trial differs from a whole run, names the trial, and changes no row."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from faultbench.campaign import Campaign, parse_campaign
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.records import Trial
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import RunOptions
from faultbench.system.errors import EngineError
from faultbench.system.progress.reporter import SilentReporter
from faultbench.trials import second_runs
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.second_runs import ONE_IN, is_run_twice
from faultbench.trials.staging import first_fault
from faultbench.trials.staging import golden_run as golden
from faultbench.trials.staging.channel_splicing import Splicer
from faultbench.trials.staging.golden_run import GoldenRun
from faultbench.trials.staging.sharing_probe import StepSharing

CAMPAIGN = """
name: small
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 24
images: IMAGES
training: {epochs: 1}
"""
ALL_IMAGES, FEW_IMAGES = "500", "{per_trial: 32}"
PARANOID = RunOptions(paranoid=True)

Faulted = Callable[..., list[Tensor]]


def campaign(images: str) -> Campaign:
    return parse_campaign(CAMPAIGN.replace("IMAGES", images), Path("small.yaml"))


def ran(root: Path, images: str, options: RunOptions = PARANOID) -> dict[tuple[str, int], Trial]:
    folder = run_campaign(campaign(images), root, engine=Serial(1), reporter=SilentReporter(), options=options)
    return dict(read_journal(folder / "journal").trials)


@pytest.fixture(scope="module", params=[ALL_IMAGES, FEW_IMAGES], ids=["all images", "few images"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[Any, Trial]]:
    return request.param, ran(tmp_path_factory.mktemp("plain"), request.param, RunOptions())


@pytest.mark.slow
def test_second_runs_change_no_row_and_meet_every_cell(
    plain: tuple[str, dict[Any, Trial]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, expected = plain
    again: list[int] = []
    whole = second_runs.whole_logits
    monkeypatch.setattr(second_runs, "whole_logits", lambda *given: again.append(1) or whole(*given))
    monkeypatch.setattr(StepSharing, "pays", lambda *_: True)  # trials over few images share their walks, fast or not
    assert ran(tmp_path, images) == expected
    with_flips = {name for name, trial in expected.items() if is_run_twice(*name) and trial.n_flips}
    assert len(again) == len(with_flips)
    assert {cell for cell, _ in with_flips} == {cell for cell, _ in expected}


def the_golden_logits(self: GoldenRun, *_: Any) -> list[Tensor]:
    return self.logits


def a_bit_too_large(faulted: Faulted) -> Faulted:
    def off(self: GoldenRun, *given: Any) -> list[Tensor]:
        return [torch.nextafter(logits, torch.tensor(torch.inf)) for logits in faulted(self, *given)]

    return off


def another_channel(channels: Callable[..., Any]) -> Callable[..., Any]:
    def moved(self: Splicer, layer: Any, *given: Any) -> Any:
        found = channels(self, layer, *given)
        return found if found is None else (found[0], (found[1] + 1) % len(layer.weight))

    return moved


def in_another_order(walked: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *given: walked(*given).flip(0)


def one_fewer_right(compared: Callable[..., Any]) -> Callable[..., Any]:
    def miscounted(self: Evaluation, *given: Any) -> Sequence[Any]:
        found = compared(self, *given)
        return found[::-1] if len(found) > 1 else found

    return miscounted


PLANTS = {
    "an image taken for one that feels nothing": (ALL_IMAGES, GoldenRun, "faulted_logits", lambda _: the_golden_logits),
    "a last bit": (ALL_IMAGES, GoldenRun, "faulted_logits", a_bit_too_large),
    "a channel put in at another's place": (ALL_IMAGES, Splicer, "channels", another_channel),
    "rows of trials that share a walk": (FEW_IMAGES, golden, "walk_together", in_another_order),
    "counts of trials that share a walk": (FEW_IMAGES, Evaluation, "_count_trials", one_fewer_right),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_goes_wrong_on_a_short_way_ends_the_run_and_names_the_trial(
    plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, owner, name, planted = PLANTS[plant]
    monkeypatch.setattr(first_fault, "WORTHWHILE", 1e9)
    monkeypatch.setattr(first_fault, "SPLICING_S", -1e9)
    monkeypatch.setattr("faultbench.trials.staging.sharing_probe.WORTHWHILE", 1e9)
    monkeypatch.setattr(owner, name, planted(getattr(owner, name)))
    with pytest.raises(
        EngineError, match=r"^digits_cnn/(relu|clip_act), cell [0-9a-f]{32}, trial \d+: --paranoid: a whole run"
    ):
        ran(tmp_path, images)


def test_one_trial_in_twenty_is_run_again_and_the_first_of_each_cell() -> None:
    assert all(is_run_twice(cell, 0) for cell in "abc")
    n_sampled = sum(is_run_twice("c" * 32, trial) for trial in range(1, 20 * ONE_IN * ONE_IN))
    assert 323 <= n_sampled <= 477  # 400 ± 4 standard deviations of a binomial
    assert {trial for trial in range(200) if is_run_twice("a", trial)} != {
        t for t in range(200) if is_run_twice("b", t)
    }
