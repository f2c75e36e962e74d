"""Network trained on the embedded digits, and a fitting on it: what schemes are tried on."""

from dataclasses import replace
from functools import cache
from typing import Any

import torch

from faultbench.datasets import Splits
from faultbench.datasets.digits import Digits
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.models.digits_cnn import digits_cnn
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import store_parameters
from faultbench.networks.tracing.trace import trace
from faultbench.networks.training import RECIPES, train_classifier
from faultbench.schemes.scheme import Fitting
from faultbench.system.progress.reporter import SilentReporter


@cache
def load_digits() -> Splits:
    """Return the embedded digits."""
    return Digits().load()


@cache
def trained_digits_network() -> Network:
    """Return `digits_cnn` trained for a few seconds, its weights as Q15.16 holds them; copy it before changing it."""
    model, recipe = digits_cnn(Digits.shape, Digits.n_classes), replace(RECIPES["fast"], n_epochs=10)
    with SilentReporter().task("", recipe.n_epochs) as task:
        generator = torch.Generator().manual_seed(1)
        train_classifier(model, load_digits().train, Digits().augment, recipe, generator, task)
    network = trace(model, Digits.shape)
    store_parameters(network, FixedPoint(15, 16))
    return network


def digits_fitting(network: Network, digits: Splits, *, n_train: int, **changes: Any) -> Fitting:
    """Return a fitting on the first training digits and on all calibration digits; any field may be given."""
    fields: dict[str, Any] = {
        "network": network,
        "train": digits.train.first(n_train),
        "calibration": digits.calibration,
        "augment": Digits().augment,
        "codec": FixedPoint(15, 16),
        "batch": 250,
        "schedule": "fast",
        "seed": 5,
        "title": "fit",
        "reporter": SilentReporter(),
    }
    return Fitting(**{**fields, **changes})
