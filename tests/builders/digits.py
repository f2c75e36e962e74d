"""Fixtures for rooms with torch: the digits, and a network that was trained on them."""

import pytest

from faultbench.datasets import Splits
from faultbench.datasets.digits import Digits
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.models.digits_cnn import digits_cnn as build_digits_cnn
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import store_parameters
from faultbench.networks.tracing.trace import trace
from faultbench.networks.weights.loading import load_weights
from tests.builders.campaign_texts import WEIGHTS

__all__ = ["digits", "digits_cnn"]


@pytest.fixture(scope="session")
def digits() -> Splits:
    return Digits().load()


@pytest.fixture(scope="session")
def digits_cnn() -> Network:
    """Network digits_cnn with the weights of campaigns/ci_small.yaml in Q15.16. Copy it before you change it."""
    model = build_digits_cnn(Digits.shape, Digits.n_classes)
    load_weights(model, WEIGHTS)
    network = trace(model, Digits.shape)
    store_parameters(network, FixedPoint(15, 16))
    return network
