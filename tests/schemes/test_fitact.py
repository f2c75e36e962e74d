"""FitAct's training lowers the loss and changes the bounds and nothing else."""

from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.nn import functional as F

from faultbench.datasets import Splits
from faultbench.networks.network import Network
from faultbench.networks.training import measure_accuracy
from faultbench.runner.subjects import training_checkpoint as epochs
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.training_checkpoint import TrainingCheckpoint
from faultbench.schemes import fitact
from faultbench.schemes.fitact import RECIPES, FitAct
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitting, granularities, protect_copy
from tests.builders.fittings import as_it_is, on_digits, on_noise
from tests.builders.networks import same_bits


@pytest.fixture(autouse=True)
def three_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fitact.RECIPES, "fast", replace(RECIPES["fast"], n_epochs=3))


def loss(fitting: Fitting, scheme: FitAct, bounds: dict[str, torch.Tensor]) -> float:
    network = protect_copy(fitting.network, scheme, bounds)
    with torch.inference_mode():
        return F.cross_entropy(network(fitting.train.pixels), fitting.train.labels).item()


def profiled(fitting: Fitting, scheme: FitAct) -> dict[str, torch.Tensor]:
    return profiled_bounds(fitting, granularities(fitting.network, scheme))


def test_the_loss_falls_below_that_of_the_profiled_bounds(digits_cnn: Network, digits: Splits) -> None:
    fitting = on_digits(digits_cnn.copy(), digits, n_train=300, augment=as_it_is)
    scheme = FitAct(learning_rate=1e-2)
    fitted = scheme.fit(fitting)
    assert loss(fitting, scheme, dict(fitted.bounds)) < 0.9 * loss(fitting, scheme, profiled(fitting, scheme))


def test_bounds_move_from_the_profile_and_only_where_an_activation_comes_near() -> None:
    fitting, scheme = on_noise(), FitAct(weight_decay=0.0, zeta=0.0)
    start, found = profiled(fitting, scheme), scheme.fit(fitting).bounds
    for name, bounds in start.items():
        moved = found[name] != bounds
        assert bool(moved.any())
        # Adam's step is at most about the learning rate: 3 epochs of 2 batches of 32.
        assert float((found[name] - bounds).abs().max()) <= 6 * 1e-3 * 1.5
    # A neuron that never fires gets no gradient, so without decay its bound stays at 0.
    dead = start["relu"] == 0
    assert not bool((found["relu"] != start["relu"])[dead].any())


def test_zeta_shrinks_the_bounds() -> None:
    # ζ counts only against Adam's eps of 1e-8 and against the task's own gradient.
    fitting = on_noise()
    lenient, strict = (FitAct(zeta=zeta).fit(fitting).bounds for zeta in (0.0, 1e3))
    assert all(bool((strict[name] <= lenient[name] + 1e-7).all()) for name in strict)
    assert all(float(strict[name].mean()) < float(lenient[name].mean()) for name in strict)


def test_weight_decay_is_coupled_so_that_adam_normalises_it() -> None:
    # Coupled, a decay of 1e3 is a gradient like any other and a step is about the learning rate. Decoupled it
    # would multiply bounds by 1 − 1e-3·1e3 = 0.
    fitting = on_noise()
    scheme = FitAct(weight_decay=1e3)
    start, found = profiled(fitting, scheme), scheme.fit(fitting).bounds
    for name, bounds in start.items():
        assert float((found[name] - bounds).abs().max()) <= 6 * 1e-3 * 1.01
        assert float((found[name] - bounds).mean()) < 0


def test_hard_and_smooth_deployment_share_their_bounds_and_differ_in_what_they_install() -> None:
    fitting = on_noise()

    def bounds(deploy: Literal["smooth", "hard"]) -> dict[str, torch.Tensor]:
        return dict(FitAct(deploy=deploy).fit(fitting).bounds)

    smooth, hard = bounds("smooth"), bounds("hard")
    assert all(same_bits(smooth[name], hard[name]) for name in smooth)
    pixels = fitting.calibration.pixels
    with torch.inference_mode():
        logits = [protect_copy(fitting.network, FitAct(deploy=d), smooth)(pixels) for d in ("smooth", "hard")]
    assert not torch.allclose(*logits)


def test_hard_deployment_keeps_activations_within_the_bounds_as_they_are(digits_cnn: Network, digits: Splits) -> None:
    fitting = on_digits(digits_cnn.copy(), digits, n_train=200)
    scheme = FitAct(deploy="hard")
    network = protect_copy(fitting.network, scheme, profiled(fitting, scheme))
    assert measure_accuracy(network, fitting.train, batch=250) == measure_accuracy(
        fitting.network, fitting.train, batch=250
    )


def test_the_epochs_that_were_trained_are_counted() -> None:
    assert FitAct().fit(on_noise(10)).n_epochs == 3


def test_the_optimiser_is_the_released_codes() -> None:
    assert (FitAct.zeta, FitAct.learning_rate, FitAct.weight_decay) == (4e-9, 1e-3, 4e-9)
    assert (RECIPES["paper"].n_epochs, RECIPES["paper"].batch) == (150, 128)


def test_max_accuracy_drop_keeps_the_last_bounds_that_cost_no_more(digits_cnn: Network, digits: Splits) -> None:
    fitting = on_digits(digits_cnn, digits, n_train=64, augment=as_it_is)
    ruinous = FitAct(zeta=10.0, learning_rate=0.3)
    profiled_accuracy, ruined, kept = (
        measure_accuracy(protect_copy(digits_cnn, FitAct(), bounds), digits.calibration, batch=250)
        for bounds in (
            profiled(fitting, FitAct()),
            ruinous.fit(fitting).bounds,
            replace(ruinous, max_accuracy_drop=0.02).fit(fitting).bounds,
        )
    )
    assert ruined < profiled_accuracy - 0.1
    assert kept >= profiled_accuracy - 0.02


def test_without_a_maximal_drop_the_last_bounds_are_kept() -> None:
    fitting = on_noise()
    last, affordable = FitAct().fit(fitting).bounds, FitAct(max_accuracy_drop=1.0).fit(fitting).bounds
    assert all(same_bits(bounds, affordable[name]) for name, bounds in last.items())


class Power(BaseException):
    """Simulated power failure."""


class Failing(TrainingCheckpoint):
    """Store that keeps every epoch and fails after `left` epochs."""

    left = 10**9

    def remember(self, *state: Any) -> None:
        super().remember(*state)
        self.left -= 1
        if not self.left:
            raise Power


@pytest.mark.parametrize("scheme", [FitAct(), FitAct(max_accuracy_drop=0.0, zeta=10.0, learning_rate=0.3)])
@pytest.mark.parametrize("stops", [(1,), (1, 1), (2,), (3,)])
def test_an_interrupted_fit_ends_in_the_bounds_of_one_that_never_stopped(
    scheme: FitAct, stops: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "KEPT_EVERY_S", 0.0)
    undisturbed, shown = scheme.fit(on_noise()), []

    def fitting() -> Fitting:
        return on_noise(epochs=Failing(ArtifactStore(tmp_path), "partial-epochs", "fit"))

    for left in stops:
        monkeypatch.setattr(Failing, "left", left)
        with pytest.raises(Power):
            scheme.fit(fitting())
        shown.append(fitting().epochs.n_done)
    monkeypatch.setattr(Failing, "left", 10**9)
    resumed = scheme.fit(fitting())
    assert shown == list(accumulate(stops))
    assert all(same_bits(resumed.bounds[name], bounds) for name, bounds in undisturbed.bounds.items())
    assert resumed.n_epochs == undisturbed.n_epochs


def test_an_epoch_without_its_optimiser_would_end_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a fit that goes on with new moments ends in other bounds."""
    monkeypatch.setattr(epochs, "KEPT_EVERY_S", 0.0)
    monkeypatch.setattr(Failing, "left", 2)
    undisturbed = FitAct().fit(on_noise())
    with pytest.raises(Power):
        FitAct().fit(on_noise(epochs=Failing(ArtifactStore(tmp_path), "partial-epochs", "fit")))
    monkeypatch.setattr(torch.optim.Adam, "load_state_dict", lambda *_: None)
    resumed = FitAct().fit(on_noise(epochs=TrainingCheckpoint(ArtifactStore(tmp_path), "partial-epochs", "fit")))
    assert not all(same_bits(resumed.bounds[name], bounds) for name, bounds in undisturbed.bounds.items())
