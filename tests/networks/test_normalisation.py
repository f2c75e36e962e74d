"""Normalising inside the network: torchvision's values, and everything else as in the bare network."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import normalize

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.models.resnet_cifar import resnet20
from faultbench.networks.network import Network
from faultbench.networks.normalisation import TARGET, Normalise, normalise_first
from faultbench.networks.stored.network_memory import fault_space, store_parameters
from faultbench.networks.tracing.trace import trace
from faultbench.runner.subjects.overhead import count_parameters
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging
from faultbench.trials.staging.staged_network import StagedNetwork
from tests.builders.networks import randomise, same_bits, state_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPE = (3, 32, 32)
EVERYTHING = ("weights", "biases", "bounds", "norm_parameters", "norm_statistics")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    built = resnet20(SHAPE, 10)
    randomise(built, seed=1)
    for parameter in built.parameters():
        parameter.data /= max(1.0, parameter[0].numel() ** 0.5)
    return built.eval().to(memory_format=torch.channels_last)


@pytest.fixture
def bare(model: nn.Module) -> Network:
    return trace(model, SHAPE).copy()


@pytest.fixture
def normalised(bare: Network) -> Network:
    twin = bare.copy()
    normalise_first(twin.graph, MEAN, STD)
    return twin


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    images = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last)


def test_the_network_gives_the_logits_of_torchvisions_normalised_images(
    bare: Network, normalised: Network, pixels: Tensor
) -> None:
    with torch.inference_mode():
        expected = bare(normalize(pixels, MEAN, STD))
        assert same_bits(normalised(pixels), expected)
        assert same_bits(normalised.copy()(pixels), expected)
        assert not torch.allclose(bare(pixels), expected)


def test_a_batch_stays_channels_last(pixels: Tensor) -> None:
    out = Normalise(MEAN, STD)(pixels)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()


def test_names_sites_and_memory_are_those_of_the_bare_network(bare: Network, normalised: Network) -> None:
    codec = FixedPoint(15, 16)
    assert normalised.sites == bare.sites
    assert [(p.name, p.kind, p.owner) for p in normalised.parameters()] == [
        (p.name, p.kind, p.owner) for p in bare.parameters()
    ]
    assert count_parameters(normalised, codec) == count_parameters(bare, codec)
    assert count_parameters(normalised, codec).n_parameters == 269_722
    spaces = [fault_space(network, codec, EVERYTHING) for network in (bare, normalised)]
    assert spaces[0].n_bits == spaces[1].n_bits
    assert normalised.macs(SHAPE) == bare.macs(SHAPE)


def test_mean_and_deviation_are_not_what_memory_gives_back(normalised: Network) -> None:
    before = state_of(normalised)
    store_parameters(normalised, FixedPoint(15, 16), kinds=("norm_statistics",))
    after = state_of(normalised)
    constants = [f"{TARGET}.mean", f"{TARGET}.std"]
    assert all(same_bits(after[name], before[name]) for name in constants)
    assert not same_bits(after["bn1.running_mean"], before["bn1.running_mean"])


def test_a_run_resumed_at_any_step_equals_the_whole_one_bit_for_bit(normalised: Network, pixels: Tensor) -> None:
    staged = StagedNetwork(normalised)
    assert staged.module(0) is normalised.graph.get_submodule(TARGET)
    names = tuple(node.name for node in staged.steps)
    with torch.inference_mode():
        whole, values = staged.resume(0, {staged.input: pixels}, names)
        assert same_bits(whole, normalised(pixels))
        for step in range(1, len(staged.steps)):
            assert same_bits(staged.resume(step, {staged.input: pixels, **values})[0], whole)


def test_staged_trials_have_the_outcomes_of_whole_ones(normalised: Network, pixels: Tensor) -> None:
    space = fault_space(normalised, FixedPoint(15, 16), ("weights", "biases"))
    rng = np.random.default_rng(3)
    maps = [FaultMap(np.unique(rng.integers(0, space.n_bits, n_flips))) for n_flips in (1, 1, 1, 2, 4, 40)]
    maps.append(FaultMap(np.array([30])))  # in the layer that reads the normalised pixels
    images = Images(pixels, torch.arange(len(pixels)))
    whole = Evaluation(normalised, space, images, batch=4)
    staged = Evaluation(normalised, space, images, batch=4, staging=Staging(2**30, maps))
    assert staged.kept_bytes > 0
    outcomes = [whole.outcome(fault_map) for fault_map in maps]
    assert [staged.outcome(fault_map) for fault_map in maps] == outcomes
    assert len(set(outcomes)) > 1
