"""What many tests share: one torch thread, the digits, and a network trained on them."""

import os

import pytest
import torch
from hypothesis import settings

from faultbench.datasets import Splits
from faultbench.datasets.digits import Digits
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.models.digits_cnn import digits_cnn as build_digits_cnn
from faultbench.networks.network import Network, trace
from faultbench.networks.training import RECIPES, train_classifier
from faultbench.schemes.scheme import store
from faultbench.system.progress.reporter import Silent

settings.register_profile("unhurried", deadline=None)  # a time limit would test the machine
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Run on the processor, whose rows most tests compare, even where there is a card; `pytest -m gpu` is for that."""
    if "gpu" not in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks as small as these do not pay for waking a second thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Splits:
    return Digits().load()


@pytest.fixture(scope="session")
def digits_cnn(digits: Splits, one_thread: None) -> Network:
    """digits_cnn trained by the fast recipe, its weights as Q15.16 holds them; copy it before changing it."""
    model, recipe = build_digits_cnn(Digits.shape, Digits.n_classes), RECIPES["fast"]
    with Silent().task("", recipe.n_epochs) as task:
        generator = torch.Generator().manual_seed(1)
        train_classifier(model, digits.train, Digits().augment, recipe, generator, task)
    network = trace(model, Digits.shape)
    store(network, FixedPoint(15, 16))
    return network
