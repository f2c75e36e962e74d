"""Images that no fault affects are not run on, and searched thresholds share results, bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.injection import inject_faults
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.bounded_activations import ClipToZero
from faultbench.trials.staging.golden_run import GoldenRun, Staging
from faultbench.trials.staging.search_golden_run import SearchGoldenRun
from faultbench.trials.staging.value_rows import equal_rows, rows_at, rows_to_run, separate_sizes
from tests.builders.networks import randomise, same_bits, some_images, traced_unchecked

SHAPE = (1, 12, 12)
N_IMAGES, BATCH = 80, 64
PLENTY = 1 << 30
Q15_16 = FixedPoint(15, 16)


class Counted(nn.Linear):
    """A layer that gives other bits for other numbers of images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + len(x)


class Small(nn.Module):
    """Three convolutions, max pooling and two linear layers, large enough for comparing images to pay."""

    def __init__(self, last: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.Conv2d(32, 128, 3, padding=1)
        self.third = nn.Conv2d(128, 64, 3, padding=1)
        self.relu, self.pool, self.flat = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        self.narrow, self.last = nn.Linear(64 * 36, 128), last(128, 5)
        randomise(self, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.first(x)))
        x = self.flat(self.relu(self.third(self.relu(self.second(x)))))
        return self.last(self.relu(self.narrow(x)))


def images() -> Images:
    """Return images of which two in three are black: without a bias, no fault of the first layer affects these."""
    pixels = some_images(N_IMAGES, SHAPE)
    pixels[torch.arange(N_IMAGES) % 3 > 0] = 0
    return Images(pixels, torch.zeros(N_IMAGES, dtype=torch.int64))


def made(last: type[nn.Linear] = nn.Linear) -> tuple[Network, FaultSpace]:
    network = traced_unchecked(Small(last).to(memory_format=torch.channels_last), SHAPE)
    return network, fault_space(network, Q15_16, ("weights", "biases"))


def flip(space: FaultSpace, name: str, word: int, bit: int) -> FaultMap:
    index = [item.name for item in space.stored].index(name)
    return FaultMap(np.array([space.offsets[index] + word * 32 + bit]))


def both(one: FaultMap, other: FaultMap) -> FaultMap:
    return FaultMap(np.union1d(one.addresses, other.addresses))


def run_of(network: Network, space: FaultSpace, memory_bytes: int = PLENTY) -> GoldenRun:
    maps = [flip(space, item.name, 0, 0) for item in space.stored]
    return GoldenRun(network, space, images(), BATCH, Staging(memory_bytes, maps))


def assert_same(run: GoldenRun, network: Network, space: FaultSpace, fault_map: FaultMap) -> None:
    parts = run.batches()
    with inject_faults(space, fault_map), torch.inference_mode():
        staged = run.faulted_logits(fault_map, parts)
        whole = [network(part.pixels.contiguous(memory_format=torch.channels_last)) for part in images().batches(BATCH)]
    assert all(same_bits(a, b) for a, b in zip(staged, whole, strict=True))


@contextmanager
def counting(network: Network, name: str) -> Iterator[list[int]]:
    """Collect the number of images of every call of a module."""
    calls: list[int] = []
    handle = network.graph.get_submodule(name).register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    yield calls
    handle.remove()


def test_only_images_that_a_fault_affects_are_run_on() -> None:
    network, space = made()
    run, fault_map = run_of(network, space), flip(space, "first.weight", 4, 20)
    parts = run.batches()
    with counting(network, "second") as calls, inject_faults(space, fault_map):
        run.faulted_logits(fault_map, parts)
    # 22 of 64 images are not black, and 5 of 16: run are multiples of 16, all of a small batch.
    assert calls == [32, 16]
    assert_same(run, network, space, fault_map)


class Deaf(nn.Module):
    """A convolution whose first input channel is always 0, with max pooling right behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.Conv2d(32, 128, 3, padding=1)
        self.third = nn.Conv2d(128, 128, 3, padding=1)  # work enough behind for comparing images to pay
        self.relu, self.pool, self.last = nn.ReLU(), nn.MaxPool2d(2), nn.Linear(128 * 36, 5)
        randomise(self, 0)
        nn.init.zeros_(self.first.weight[0])

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.second(self.relu(self.first(x)))))
        return self.last(self.relu(self.third(x)).flatten(1))


def test_a_fault_that_affects_no_image_ends_at_its_layer() -> None:
    network = trace(Deaf().to(memory_format=torch.channels_last), SHAPE)
    space = fault_space(network, Q15_16, ("weights", "biases"))
    run, unheard = run_of(network, space), flip(space, "second.weight", 7 * 288, 20)
    parts = run.batches()
    with counting(network, "last") as calls, inject_faults(space, unheard):
        found = run.faulted_logits(unheard, parts)
    assert calls == []
    assert all(same_bits(logits, golden) for logits, golden in zip(found, run.logits, strict=True))
    for later in (flip(space, "second.weight", 7 * 288 + 9, 20), flip(space, "last.bias", 1, 22)):
        assert_same(run, network, space, both(unheard, later))


def test_images_that_one_fault_does_not_affect_still_meet_later_faults() -> None:
    network, space = made()
    run = run_of(network, space)
    first = flip(space, "first.weight", 4, 20)
    for later in (flip(space, "second.weight", 40, 21), flip(space, "last.bias", 1, 22)):
        assert_same(run, network, space, both(first, later))


@pytest.mark.parametrize("bit", [2, 16, 24, 31])
def test_hit_channels_alone_are_taken_to_the_next_layer(bit: int) -> None:
    network, space = made()
    run = run_of(network, space)
    for word in range(0, 128 * 288, 4999):
        fault_map = flip(space, "second.weight", word, bit)
        assert_same(run, network, space, fault_map)
        assert_same(run, network, space, both(fault_map, flip(space, "third.weight", 40, 21)))


@pytest.mark.parametrize("memory_bytes", [0, 2_000_000, PLENTY])
def test_runs_of_some_images_give_the_bits_of_whole_ones(memory_bytes: int) -> None:
    network, space = made()
    run = run_of(network, space, memory_bytes)
    for n_flips in (1, 2, 4, 16):
        for trial in range(6):
            fault_map = Bernoulli().draw(space, ber=n_flips / space.n_target_bits, seed=n_flips, trial=trial)
            if len(fault_map):
                assert_same(run, network, space, fault_map)


def test_images_stay_together_where_their_number_changes_bits() -> None:
    network, space = made(Counted)
    run, fault_map = run_of(network, space), flip(space, "first.weight", 4, 20)
    assert_same(run, network, space, fault_map)
    assert_same(run, network, space, both(fault_map, flip(space, "second.weight", 40, 21)))
    site = network.sites[0]
    space = fault_space(network, Q15_16, ("weights",), owners=site.feeding)
    run = SearchGoldenRun(network, space, images(), BATCH, Staging(PLENTY, [fault_map]), site=site)
    run.rerun()
    assert_same(run, network, space, fault_map)


THRESHOLDS = (0.0, 1.0, 2.0, 3.0, 2.5, 2.9)


@pytest.mark.parametrize("memory_bytes", [2_000_000, 6_000_000, PLENTY])
@pytest.mark.parametrize("name", ["relu", "relu#1", "relu#2"])
def test_a_searched_site_gives_the_bits_of_whole_runs_at_every_threshold(name: str, memory_bytes: int) -> None:
    network, _ = made()
    site = next(site for site in network.sites if site.name == name)
    space = fault_space(network, Q15_16, ("weights", "biases"), owners=site.feeding)
    maps = [flip(space, space.stored[0].name, 4, bit) for bit in (3, 16, 20)]
    run = SearchGoldenRun(network, space, images(), BATCH, Staging(memory_bytes, maps), site=site)
    for threshold in THRESHOLDS:
        network.install(site, ClipToZero(torch.tensor(threshold)))
        run.rerun()
        with torch.inference_mode():
            whole = [network(part.pixels) for part in images().batches(BATCH)]
        assert [logits.argmax(1).tolist() for logits in run.logits] == [logits.argmax(1).tolist() for logits in whole]
        for fault_map in maps:
            assert_same(run, network, space, fault_map)


def searched(threshold: float, *earlier: float) -> list[int]:
    """Return how many images run behind the first site at a threshold that is searched after others."""
    network, _ = made()
    site = network.sites[0]
    space = fault_space(network, Q15_16, ("weights",), owners=site.feeding)
    fault_map = flip(space, "first.weight", 4, 16)
    run = SearchGoldenRun(network, space, images(), BATCH, Staging(PLENTY, [fault_map]), site=site)
    for value in (*earlier, threshold):
        network.install(site, ClipToZero(torch.tensor(value)))
        run.rerun()
        parts = run.batches()
        with counting(network, "second") as calls, inject_faults(space, fault_map):
            run.faulted_logits(fault_map, parts)
    return calls


def test_an_image_past_a_threshold_that_it_cannot_tell_from_an_earlier_one_is_not_run_again() -> None:
    # Values beyond 1000 do not come up: what passes 2000 is what passed 1000.
    assert searched(2000.0) == [32, 16]
    assert searched(2000.0, 0.5, 1000.0) == []


@pytest.mark.parametrize("n_wanted", [0, 1, 16, 17, 50, 64])
def test_rows_are_run_in_few_sizes_and_none_is_left_out(n_wanted: int) -> None:
    wanted = torch.zeros(64, dtype=torch.bool)
    wanted[torch.from_numpy(np.random.default_rng(n_wanted).permutation(64)[:n_wanted])] = True
    rows, others = rows_to_run(wanted, 8)
    assert sorted([*rows.tolist(), *others.tolist()]) == list(range(64))
    assert set(wanted.nonzero().flatten().tolist()) <= set(rows.tolist())
    assert len(rows) in {0, 64, *separate_sizes(64, 8)}
    assert len(rows) - n_wanted < 16


def test_rows_are_alike_only_if_every_bit_of_every_value_is() -> None:
    a, b = torch.zeros(12, 3, 2, 2), torch.zeros(12, 3, 2, 2)
    b[9, 1, 0, 1] = -0.0
    nan = torch.full((12, 4), torch.nan)
    assert equal_rows({"x": a, "y": nan}, {"x": b, "y": nan.clone()}).tolist() == [row != 9 for row in range(12)]
    assert not equal_rows({"x": a}, {"x": a + 1}).any()


def test_rows_lie_in_memory_as_the_whole_does() -> None:
    whole = some_images(6, (4, 3, 3)).contiguous(memory_format=torch.channels_last)
    some = rows_at(whole, torch.tensor([1, 4]))
    assert same_bits(some, whole[[1, 4]])
    assert some.is_contiguous(memory_format=torch.channels_last)
