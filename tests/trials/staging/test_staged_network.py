"""Runs begun at any step give the bits of whole runs."""

import pytest
import torch
from torch import nn

from faultbench.networks.network import Network
from faultbench.networks.tracing.fx_tracer import symbolic
from faultbench.trials.staging.staged_network import StagedNetwork
from faultbench.trials.staging.step_costs import writes_in_place
from tests.builders.networks import SHAPE, same_bits, some_images
from tests.builders.staged_networks import CLASSIFIERS, SMALL, Overwriting, images_of, network_of, small


@pytest.mark.parametrize("name", [*list(SMALL)[:4], *CLASSIFIERS])
@torch.inference_mode()
def test_a_run_begun_at_any_step_gives_the_bits_of_the_whole_run(name: str) -> None:
    network, images = network_of(name), images_of(name)
    staged, expected = StagedNetwork(network), network(images.clone())
    kept = {staged.input: images, **{staged.steps[step].name: made for step, _, made in staged.walk(images)}}
    stride = 1 + len(staged.steps) // 40
    for step in [*range(0, len(staged.steps), stride), len(staged.steps) - 1]:
        assert same_bits(staged.resume(step, {name: kept[name] for name in staged.needed[step]})[0], expected)
    assert not writes_in_place(staged, images)


@torch.inference_mode()
def test_a_run_gives_the_values_that_are_asked_for() -> None:
    staged, images = StagedNetwork(small("residual")), some_images()
    made = {staged.steps[step].name: value for step, _, value in staged.walk(images)}
    _, kept = staged.resume(0, {staged.input: images}, tuple(made))
    assert all(same_bits(kept[name], made[name]) for name in made)


def test_a_step_that_spoils_what_it_reads_is_noticed() -> None:
    network = small("residual")
    assert not writes_in_place(StagedNetwork(network), some_images())
    network.graph.set_submodule("linear", Overwriting(36, 3))  # tracing would follow it
    assert writes_in_place(StagedNetwork(network), some_images())


def test_a_graph_that_is_only_a_lookup_is_staged_too() -> None:
    network = Network(symbolic(nn.Sequential(nn.Linear(4, 3)), SHAPE), ())
    staged = StagedNetwork(network)
    assert staged.needed == ((staged.input,), (staged.steps[0].name,))
