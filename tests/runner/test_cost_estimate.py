"""What a campaign will take: nothing that it does is left out, and what is done already is not counted again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from faultbench.campaign import Campaign, parse_campaign
from faultbench.datasets import SizedDataset
from faultbench.datasets.cifar import Cifar10
from faultbench.datasets.digits import Digits
from faultbench.datasets.mnist import Mnist
from faultbench.datasets.svhn import Svhn
from faultbench.results.journal.contents import JournalContents
from faultbench.results.journal.records import Quarantine, Trial
from faultbench.results.journal.trial_columns import TrialColumns, TrialTable
from faultbench.runner.cost_estimate import CostEstimate, estimate_cost
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.components import check_components
from faultbench.runner.subjects.subject_keys import bounds_name, weights_name
from faultbench.schemes.fitact import FitAct
from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent
from faultbench.schemes.ft_clipact import FtClipAct
from faultbench.schemes.hyrelu_proact import HyreluProact
from faultbench.schemes.relu import Relu
from tests.builders.fittings import on_noise
from tests.builders.results import a_trial


def a_campaign(**changes: Any) -> Campaign:
    keys: dict[str, Any] = {"name": "priced", "datasets": ["digits"], "models": ["digits_cnn"], "bers": [1e-6, 1e-5]}
    text = json.dumps({**keys, "schemes": ["relu", "clip_act"], "trials": 50, **changes})  # which YAML reads as well
    return parse_campaign(text, Path("priced.yaml"))


def priced(campaign: Campaign, folder: Path, known: JournalContents | None = None) -> CostEstimate:
    return estimate_cost(campaign, check_components(campaign), known or JournalContents(), ArtifactStore(folder))


def table(trials: Iterable[Trial]) -> TrialTable:
    """Trials as a journal has them."""
    found = TrialTable.merged([(Path("made.jsonl"), TrialColumns.of(trials))])
    assert isinstance(found, TrialTable)
    return found


@pytest.mark.parametrize("images", ["all", "auto", {"per_trial": 20}])
def test_every_trial_counts_whatever_its_images_hang_on(images: Any, tmp_path: Path) -> None:
    found = priced(a_campaign(images=images), tmp_path)
    assert set(found.n_missing.values()) == {50}
    assert all(seconds > 0 for seconds in found.trial_s.values())
    assert found.total_s > found.trials_s + found.golden_s > found.trials_s


def test_what_is_recorded_or_given_up_is_not_missing(tmp_path: Path) -> None:
    campaign = a_campaign()
    first, *others = (cell.key for cell in campaign.cells)
    trials = table(a_trial(cell=cell, trial=number) for cell in others for number in range(50))
    given_up = {(first, n): Quarantine(cell=first, trial=n, n_deaths=3, reason="killed") for n in range(50)}
    found = priced(campaign, tmp_path, JournalContents(trials=trials, quarantined=given_up))
    assert set(found.n_missing.values()) == {0}
    assert found.total_s == 0
    some = priced(campaign, tmp_path, JournalContents(quarantined=dict(list(given_up.items())[:20])))
    assert some.n_missing[first] == 30


def test_a_network_and_bounds_that_lie_there_are_not_made_again(tmp_path: Path) -> None:
    campaign = a_campaign(schemes=["fitact"])
    (subject,) = campaign.subjects
    new = priced(campaign, tmp_path)
    assert min(new.training_s, new.fitting_s) > 0
    for name in (weights_name(subject), bounds_name(subject)):
        (tmp_path / f"{name}.safetensors").touch()
    made = priced(campaign, tmp_path)
    assert (made.training_s, made.fitting_s) == (0, 0)
    assert made.trials_s > 0


def test_trials_take_as_many_images_as_their_cells_say_that_pay(tmp_path: Path) -> None:
    campaign = a_campaign(schemes=["relu"], bers=[1e-6, 1e-5], images="auto", trials=100)
    few, many = (cell.key for cell in campaign.cells)
    sizes = {few: 4, many: 256}

    def of(n_images: int) -> dict[str, int]:
        return {"n_images": n_images, "n_correct": 0, "n_masked": 0, "n_sdc": n_images, "n_sdc_critical": 0, "n_due": 0}

    trials = table(a_trial(cell=cell, trial=n, **of(sizes[cell])) for cell in sizes for n in range(31))
    found = priced(campaign, tmp_path, JournalContents(trials=trials))
    assert set(found.n_missing.values()) == {69}
    assert found.trial_s[few] < found.trial_s[many]


@pytest.mark.parametrize("dataset", [Digits(), Cifar10(n_calibration=100), Mnist(), Svhn()])
def test_data_sets_know_their_size_before_they_are_loaded(dataset: SizedDataset) -> None:
    in_all = {Digits: 1297, Cifar10: 50_000, Mnist: 60_000, Svhn: 73_257}[type(dataset)]
    assert dataset.n_trained + dataset.n_held_out == in_all


def test_digits_have_as_many_images_as_they_say() -> None:
    splits = Digits().load()
    assert (len(splits.train), len(splits.calibration)) == (Digits.n_trained, Digits.n_held_out)


def test_what_no_data_set_tells_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Digits, "n_trained")
    found = priced(a_campaign(), tmp_path)
    assert found.unforeseen == ("training on digits", "fitting relu", "fitting clip_act")
    assert (found.training_s, found.fitting_s) == (0, 0)


def extent_of_noise(n_images: int) -> FittingExtent:
    return FittingExtent(
        n_sites=len(on_noise().network.sites), n_train=n_images, n_calibration=n_images, schedule="fast"
    )


def test_the_search_injects_no_more_often_than_it_foresees() -> None:
    scheme = FtClipAct(injections=2, rates=(1e-5, 1e-3), search_images=30)
    fitting = on_noise(40)
    effort = scheme.effort(extent_of_noise(40))
    found = scheme.fit(fitting)
    assert 0 < found.n_injections * 30 <= effort.n_run
    assert effort.n_run == 40 + len(fitting.network.sites) * 10 * (1 + 2 * 2) * 30


def test_fitact_trains_as_often_as_it_foresees() -> None:
    scheme = FitAct(train_images=10)
    assert scheme.fit(on_noise(40)).n_epochs * 10 == scheme.effort(extent_of_noise(40)).n_trained
    assert scheme.effort(extent_of_noise(40)).n_run == 40


def test_proact_trains_no_more_often_than_it_foresees() -> None:
    scheme = HyreluProact(train_images=10)
    n_trained = scheme.fit(on_noise(40)).n_epochs * 10
    effort = scheme.effort(extent_of_noise(40))
    assert effort.n_trained / 4 <= n_trained <= effort.n_trained <= effort.n_run


def test_no_protection_takes_nothing() -> None:
    assert Relu().effort(extent_of_noise(40)) == FittingEffort()
