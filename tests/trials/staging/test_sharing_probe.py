"""Trials that go through a network together get, bit for bit, what each of them gets alone."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.formats.ieee754 import Float32
from faultbench.memory.injection import inject_faults, make_patches
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging import sharing_probe as sharing
from faultbench.trials.staging.golden_run import GoldenRun, Staging
from faultbench.trials.staging.shared_walks import StepPatches, walk_together
from faultbench.trials.staging.sharing_probe import Sharing, StepSharing, probe_sharing
from faultbench.trials.staging.staged_network import StagedNetwork
from tests.builders.networks import SHAPE, Residual, same_bits, some_images, state_of, traced_unchecked
from tests.builders.staged_networks import (
    CLASSIFIERS,
    EVERYTHING,
    PLENTY,
    bounded,
    flip,
    labelled,
    maps_of,
    network_of,
)

N_IMAGES = 4
"""Number of images per trial."""


class Uneven(nn.Linear):
    """A layer that adds up in another order for many images than for few, as a library may."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if len(x) == N_IMAGES else y.nextafter(torch.tensor(9.0))


class Mixing(nn.Linear):
    """A layer whose output has no row per image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(dim=0)


class Through(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.conv, self.layer, self.last = nn.Conv2d(1, 4, 3, padding=1), layer, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(F.relu(self.conv(x)).flatten(1))
        return self.last(F.relu(y.expand(x.size(0), 8)))


def images_for(name: str, n_trials: int) -> Tensor:
    shape = (3, 32, 32) if name in CLASSIFIERS else SHAPE
    return some_images(n_trials * N_IMAGES, shape).contiguous(memory_format=torch.channels_last)


def faults_of(staged: StagedNetwork, space: FaultSpace, maps: Sequence[FaultMap]) -> list[StepPatches]:
    found: list[dict[int, list]] = [{} for _ in maps]
    for of_map, of_tensors in zip(found, make_patches(space, maps), strict=True):
        for index, patch in of_tensors.items():
            for step in staged.readers[space.stored[index].tensor.data_ptr()]:
                of_map.setdefault(step, []).append(patch)
    return found


def alone(network: Network, space: FaultSpace, fault_map: FaultMap, images: Tensor) -> Tensor:
    with inject_faults(space, fault_map):
        return network(images.clone(memory_format=torch.preserve_format))


def shared_by(network: Network, space: FaultSpace, images: Tensor) -> tuple[StagedNetwork, Sharing | None]:
    staged = StagedNetwork(network)
    faulted = {step for item in space.stored for step in staged.readers[item.tensor.data_ptr()]}
    return staged, probe_sharing(staged, images, n_images=N_IMAGES, faulted=faulted)


@pytest.mark.parametrize("together_s", [0.0, 0.5, 9.0], ids=["together", "where few fault", "alone"])
@pytest.mark.parametrize("name", ["residual", "writing", "twice", *CLASSIFIERS[:4]])
@torch.inference_mode()
def test_trials_that_share_a_walk_get_the_bits_of_those_alone(name: str, together_s: float) -> None:
    network = bounded(network_of(name))
    network.graph.to(memory_format=torch.channels_last)
    space, before = fault_space(network, Float32(), EVERYTHING), state_of(network)
    maps = list(maps_of(space))[8:14]
    images = images_for(name, len(maps))
    staged, found = shared_by(network, space, images)
    assert found is not None
    assert any(step.is_row_wise for step in found.steps)
    found = replace(found, steps=[StepSharing(step.is_row_wise, together_s, 1 / len(maps)) for step in found.steps])
    logits = walk_together(staged, found, 0, {staged.input: images}, faults_of(staged, space, maps))
    for number, fault_map in enumerate(maps):
        rows = found.rows(number)
        assert same_bits(logits[rows], alone(network, space, fault_map, images[rows]))
    assert not any(same_bits(logits[found.rows(n)], network(images)[found.rows(n)]) for n in (4, 5))
    assert all(same_bits(now, before[name]) for name, now in network.graph.named_parameters())


@torch.inference_mode()
def test_a_step_whose_rows_depend_on_their_number_runs_for_each_trial() -> None:
    network = trace(Through(Uneven(144, 8)), SHAPE)
    space, images = fault_space(network, Float32(), EVERYTHING), images_for("", 3)
    staged, found = shared_by(network, space, images)
    assert found is not None
    assert Uneven in [staged.module(n).__class__ for n, step in enumerate(found.steps) if not step.is_row_wise]
    maps = [flip(space, "conv.bias", number, 30) for number in range(3)]
    logits = walk_together(staged, found, 0, {staged.input: images}, faults_of(staged, space, maps))
    for number, fault_map in enumerate(maps):
        rows = found.rows(number)
        assert same_bits(logits[rows], alone(network, space, fault_map, images[rows]))


@torch.inference_mode()
def test_trials_share_nothing_where_a_value_has_no_row_an_image() -> None:
    network = traced_unchecked(Through(Mixing(144, 8)), SHAPE)
    _, found = shared_by(network, fault_space(network, Float32(), EVERYTHING), images_for("", 3))
    assert found is None


@pytest.mark.parametrize("memory_bytes", [1000, PLENTY])
@torch.inference_mode()
def test_a_group_begins_where_its_first_trial_is_faulted(memory_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "WORTHWHILE", math.inf)  # whatever this machine gains by it
    network = trace(Residual(), SHAPE)
    network.graph.to(memory_format=torch.channels_last)
    images = images_for("", 8)
    space = fault_space(network, Float32(), EVERYTHING)
    maps = [flip(space, name, word, 30) for name in ("conv3.bias", "linear.bias") for word in (1, 2)]
    run = GoldenRun(network, space, labelled(images), 8, Staging(memory_bytes, maps))
    rows = torch.tensor([[3, 9, 20, 31], [0, 9, 10, 11], [1, 2, 8, 30], [3, 4, 5, 6]])
    calls: list[int] = []
    network.graph.get_submodule("conv1").register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    logits = run.shared_logits(maps, rows.flatten())  # also finds out how, which runs all of the network
    calls.clear()
    again = run.shared_logits(maps, rows.flatten())
    assert logits is not None
    assert again is not None
    assert calls == ([] if memory_bytes == PLENTY else [16])
    for number, fault_map in enumerate(maps):
        expected = alone(network, space, fault_map, images[rows[number]].contiguous(memory_format=torch.channels_last))
        assert not same_bits(expected, network(images[rows[number]]))
        assert same_bits(logits[4 * number : 4 * number + 4], expected)
        assert same_bits(again[4 * number : 4 * number + 4], expected)


@pytest.mark.parametrize("memory_bytes", [0, PLENTY])
def test_the_outcomes_of_many_trials_are_those_of_each(memory_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "WORTHWHILE", math.inf)
    network = bounded(network_of("residual"))
    network.graph.to(memory_format=torch.channels_last)
    space, images = fault_space(network, Float32(), EVERYTHING), Images(some_images(60), torch.arange(60) % 3)
    rng = np.random.default_rng(1)
    maps = [FaultMap(np.empty(0, np.int64)), *maps_of(space), *maps_of(space), *maps_of(space)]
    chosen = [np.sort(rng.permutation(60)[: 4 if number % 7 else 16]) for number in range(len(maps))]
    evaluation = Evaluation(network, space, images, batch=16, staging=Staging(memory_bytes, maps))
    expected = [evaluation.outcome(*each) for each in zip(maps, chosen, strict=True)]
    assert evaluation.outcomes(maps, chosen) == expected
    assert len({(o.n_correct, o.n_masked, o.n_due) for o in expected}) > 6
