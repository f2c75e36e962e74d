"""FitAct's post-training: the loss falls, the bounds move, everything else stands."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from fittings import as_it_is, on_digits, on_noise
from networks import same_bits
from torch.nn import functional as F

from faultbench.datasets import Splits
from faultbench.networks.network import Network
from faultbench.networks.training import accuracy
from faultbench.schemes import fitact
from faultbench.schemes.fitact import RECIPES, FitAct
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitting, granularities, protected


@pytest.fixture(autouse=True)
def three_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fitact.RECIPES, "fast", replace(RECIPES["fast"], n_epochs=3))


def loss(fitting: Fitting, scheme: FitAct, bounds: dict[str, torch.Tensor]) -> float:
    network = protected(fitting.network, scheme, bounds)
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
        logits = [protected(fitting.network, FitAct(deploy=d), smooth)(pixels) for d in ("smooth", "hard")]
    assert not torch.allclose(*logits)


def test_hard_deployment_keeps_activations_within_the_bounds_as_they_are(digits_cnn: Network, digits: Splits) -> None:
    fitting = on_digits(digits_cnn.copy(), digits, n_train=200)
    scheme = FitAct(deploy="hard")
    network = protected(fitting.network, scheme, profiled(fitting, scheme))
    assert accuracy(network, fitting.train, batch=250) == accuracy(fitting.network, fitting.train, batch=250)


def test_the_epochs_that_were_trained_are_counted() -> None:
    assert FitAct().fit(on_noise(10)).n_epochs == 3


def test_the_optimiser_is_the_released_codes() -> None:
    assert (FitAct.zeta, FitAct.learning_rate, FitAct.weight_decay) == (4e-9, 1e-3, 4e-9)
    assert (RECIPES["paper"].n_epochs, RECIPES["paper"].batch) == (150, 128)


def test_max_accuracy_drop_keeps_the_last_bounds_that_cost_no_more(digits_cnn: Network, digits: Splits) -> None:
    fitting = on_digits(digits_cnn, digits, n_train=64, augment=as_it_is)
    ruinous = FitAct(zeta=10.0, learning_rate=0.3)
    profiled_accuracy, ruined, kept = (
        accuracy(protected(digits_cnn, FitAct(), bounds), digits.calibration, batch=250)
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
