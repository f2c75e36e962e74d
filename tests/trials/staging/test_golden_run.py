"""Faulted runs that reuse golden values give the bits of whole runs, whatever is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.formats.ieee754 import Float32
from faultbench.memory.injection import inject_faults
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import fault_space
from faultbench.schemes.bounded_activations import ClipToZero
from faultbench.trials.staging.golden_run import GoldenRun, Staging
from faultbench.trials.staging.search_golden_run import SearchGoldenRun
from tests.builders.networks import same_bits, site_named, some_images
from tests.builders.staged_networks import (
    CLASSIFIERS,
    EVERYTHING,
    PLENTY,
    Q15_16,
    SMALL,
    bounded,
    classifier,
    flip,
    images_of,
    labelled,
    maps_of,
    network_of,
    small,
)


@contextmanager
def counting(module: nn.Module) -> Iterator[list[int]]:
    """Collect the number of images of every call of a module."""
    calls: list[int] = []
    handle = module.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    yield calls
    handle.remove()


@pytest.mark.parametrize("memory_bytes", [0, 100_000, PLENTY])
@pytest.mark.parametrize("name", [*SMALL, *CLASSIFIERS[:4]])
@torch.inference_mode()
def test_faulted_runs_give_the_bits_of_whole_ones(name: str, memory_bytes: int) -> None:
    network, images = bounded(network_of(name)), images_of(name)
    space = fault_space(network, Float32(), EVERYTHING)
    batches = torch.split(images.contiguous(memory_format=torch.channels_last), 4)
    maps = list(maps_of(space))
    run = GoldenRun(network, space, labelled(images), 4, Staging(memory_bytes, maps))
    for fault_map in maps:
        with inject_faults(space, fault_map):
            staged, whole = run.faulted_logits(fault_map, run.batches()), [network(part.clone()) for part in batches]
        assert all(same_bits(a, b) for a, b in zip(staged, whole, strict=True))


@pytest.mark.parametrize("memory_bytes", [0, 50_000, 400_000, 3_000_000])
def test_no_more_is_kept_than_there_is_room_for(memory_bytes: int) -> None:
    network = bounded(classifier("shufflenet_v2_x0_5"))
    space = fault_space(network, Q15_16, EVERYTHING)
    run = GoldenRun(network, space, labelled(images_of("")), 64, Staging(memory_bytes, tuple(maps_of(space))))
    assert run.kept_bytes <= memory_bytes
    assert bool(run.kept_bytes) == bool(memory_bytes)


def prepared(network: Network, images: Tensor) -> tuple[GoldenRun, FaultSpace]:
    space = fault_space(network, Q15_16, EVERYTHING)
    maps = [flip(space, item.name, 0, 0) for item in space.stored]
    return GoldenRun(network, space, labelled(images), len(images), Staging(PLENTY, maps)), space


@torch.inference_mode()
def test_what_lies_before_the_first_fault_is_not_run() -> None:
    network = small("residual")
    run, space = prepared(network, some_images())
    fault_map = flip(space, "conv3.weight", 5, 20)
    at = network.graph.get_submodule
    with counting(at("conv2")) as before, counting(at("linear")) as behind, inject_faults(space, fault_map):
        run.faulted_logits(fault_map, run.batches())
    assert (before, behind) == ([], [4])


@torch.inference_mode()
def test_a_fault_that_affects_no_image_is_skipped_and_a_later_one_is_not() -> None:
    network, images = small("residual"), some_images()
    for site in network.sites[:2]:
        network.install(site, ClipToZero(torch.full(site.shape, 100.0)))
    run, space = prepared(network, images)
    unfelt = flip(space, "bounds.relu", 3, 2)
    with counting(network.graph.get_submodule("linear")) as calls, inject_faults(space, unfelt):
        assert same_bits(run.faulted_logits(unfelt, run.batches())[0], run.logits[0])
    assert calls == []
    both = FaultMap(np.sort(np.concatenate([unfelt.addresses, flip(space, "linear.bias", 0, 20).addresses])))
    with inject_faults(space, both):
        assert same_bits(run.faulted_logits(both, run.batches())[0], network(images))
        assert not same_bits(run.faulted_logits(both, run.batches())[0], run.logits[0])


@torch.inference_mode()
def test_memory_that_two_steps_read_is_faulted_at_both() -> None:
    """Skipping the first of them must not skip the second."""
    network, images = small("twice"), some_images()
    run, space = prepared(network, images)
    for name in ("conv.weight", "narrow.weight"):
        for word in range(0, 144, 7):
            fault_map = flip(space, name, word, 24)
            with inject_faults(space, fault_map):
                assert same_bits(run.faulted_logits(fault_map, run.batches())[0], network(images))


@torch.inference_mode()
def test_a_replaced_site_runs_with_its_present_module() -> None:
    network, images = small("residual"), some_images()
    site = site_named(network, "relu#1")
    space = fault_space(network, Q15_16, ("weights", "biases"))
    maps = [flip(space, item.name, 0, 20) for item in space.stored]
    run = SearchGoldenRun(network, space, labelled(images), len(images), Staging(PLENTY, maps), site=site)
    for bound in (0.3, 0.1, 2.0):
        network.install(site, ClipToZero(torch.tensor(bound)))
        run.rerun()
        assert same_bits(run.logits[0], network(images))
        for fault_map in maps:
            with inject_faults(space, fault_map):
                assert same_bits(run.faulted_logits(fault_map, run.batches())[0], network(images))
