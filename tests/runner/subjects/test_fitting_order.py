"""Trials of schemes that are cheap to fit are run before long fits begin, and nothing but that depends on it."""

from dataclasses import replace
from pathlib import Path

import pytest

from faultbench.campaign import Campaign
from faultbench.results.journal.contents import read_journal
from faultbench.results.manifest_file import read_manifest
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.fitting_order import fitting_stages
from faultbench.runner.subjects.subject_keys import bounds_name, weights_name
from faultbench.schemes import fitact
from faultbench.schemes.fitact import FitAct
from faultbench.schemes.scheme import Fitted, Fitting
from faultbench.system.progress.reporter import SilentReporter
from tests.runner.test_campaign_runner import campaign, tables

SCHEMES = "schemes=[hyrelu_proact, fitact, ft_clipact, relu, clip_act]"
SLOW_FIRST = "schemes=[fitact, relu, clip_act]"


def order(asked: Campaign, artifacts: Path) -> list[list[str]]:
    """The schemes of each stage."""
    stages = fitting_stages(asked.subjects, ArtifactStore(artifacts))
    return [[f"{one.model.label} {one.scheme.name}" for one in stage] for stage in stages]


def make(asked: Campaign, artifacts: Path, *, scheme: str, model: str = "digits_cnn", is_fitted: bool = True) -> None:
    """Lay the network of a subject in the artifacts, and its bounds."""
    for one in asked.subjects:
        if (one.model.label, one.scheme.name) == (model, scheme):
            ArtifactStore(artifacts).save(weights_name(one), Artifact({}, {}))
            if is_fitted:
                ArtifactStore(artifacts).save(bounds_name(one), Artifact({}, {}))


def test_cheap_fits_come_first_and_the_others_by_what_they_take(tmp_path: Path) -> None:
    asked = campaign(tmp_path, SCHEMES)
    first, *others = order(asked, tmp_path / "none")
    assert first == ["digits_cnn relu", "digits_cnn clip_act"]
    assert sorted(others) == [["digits_cnn fitact"], ["digits_cnn ft_clipact"], ["digits_cnn hyrelu_proact"]]
    assert others[-1] == ["digits_cnn hyrelu_proact"]


def test_what_is_at_hand_is_not_fitted_again_and_comes_first(tmp_path: Path) -> None:
    asked = campaign(tmp_path, SCHEMES)
    make(asked, tmp_path / "made", scheme="hyrelu_proact")
    assert order(asked, tmp_path / "made")[0] == [
        f"digits_cnn {name}" for name in ("hyrelu_proact", "relu", "clip_act")
    ]


def test_a_network_that_is_trained_does_not_wait_for_one_that_is_not(tmp_path: Path) -> None:
    asked = campaign(tmp_path, "models=[resnet20, digits_cnn]", "datasets=[cifar10]", "schemes=[fitact, relu]")
    small, large = ("digits_cnn relu", "digits_cnn fitact"), ("resnet20 relu", "resnet20 fitact")
    assert order(asked, tmp_path / "none")[0] == ["digits_cnn relu"]
    make(asked, tmp_path / "made", scheme="relu", model="resnet20", is_fitted=False)
    made = order(asked, tmp_path / "made")
    assert made[0] == ["resnet20 relu"]
    assert [stage for stage in made if set(stage) <= set(small)] == [[small[0]], [small[1]]]
    assert made.index([large[0]]) < made.index([large[1]])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of FitAct, of which each image takes three inferences: more than what counts as cheap."""
    for schedule, recipe in fitact.RECIPES.items():
        monkeypatch.setitem(fitact.RECIPES, schedule, replace(recipe, n_epochs=2))


class Power(BaseException):
    """The power goes off."""


@pytest.mark.slow
def test_trials_of_cheap_schemes_are_recorded_when_a_long_fit_begins(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []
    fit = FitAct.fit

    def look(scheme: FitAct, fitting: Fitting) -> Fitted:
        recorded.append(len(read_journal(tmp_path / "small" / "journal").trials))
        return fit(scheme, fitting)

    def fail(scheme: FitAct, fitting: Fitting) -> Fitted:
        raise Power

    asked = campaign(tmp_path, SLOW_FIRST)
    monkeypatch.setattr(FitAct, "fit", fail)
    with pytest.raises(Power):
        run_campaign(asked, tmp_path, engine=Serial(1), reporter=SilentReporter())
    assert len(read_journal(tmp_path / "small" / "journal").trials) == 2 * 2 * 5
    assert len(read_manifest(tmp_path / "small")["data"]["stored weights"]) == 1
    monkeypatch.setattr(FitAct, "fit", look)
    resumed = tables(run_campaign(asked, tmp_path, engine=Serial(1), reporter=SilentReporter()))
    assert recorded == [2 * 2 * 5]  # its own trials begin after it
    monkeypatch.setattr(FitAct, "fit", fit)
    (tmp_path / "whole").mkdir()
    whole = run_campaign(
        campaign(tmp_path / "whole", SLOW_FIRST), tmp_path / "whole", engine=Serial(1), reporter=SilentReporter()
    )
    assert tables(whole) == resumed
    assert read_manifest(whole)["data"] == read_manifest(tmp_path / "small")["data"]
