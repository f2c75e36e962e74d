"""Staged runs: begun anywhere, and with whatever is kept, they give the bits that whole runs give."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from networks import SHAPE, Residual, randomise, same_bits, site_named, some_images
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32
from faultbench.memory.injection import injected
from faultbench.networks.network import Network, trace
from faultbench.networks.tracing.symbolic_trace import symbolic
from faultbench.plugins import registry
from faultbench.schemes.bounded_activations import ClipToZero
from faultbench.trials.evaluation import fault_space
from faultbench.trials.staging.channel_splicing import BLOCK, Splicer, channels_at, channels_of, spliceable
from faultbench.trials.staging.golden_run import GoldenRun, Staging
from faultbench.trials.staging.staged_network import StagedNetwork
from faultbench.trials.staging.step_costs import writes_in_place

Q15_16 = FixedPoint(15, 16)
EVERYTHING = ("weights", "biases", "bounds", "norm_parameters", "norm_statistics")
PLENTY = 1 << 30
CLASSIFIERS = (
    "resnet18",  # residual, with shared ReLU modules and +=
    "googlenet",  # branches
    "mobilenet_v3_small",  # in-place Hardswish, gates
    "shufflenet_v2_x0_5",  # chunks: several values of one storage
    "densenet121",  # everything is read again later
    "squeezenet1_1",  # ends in an average, not in a linear layer
    "regnet_y_400mf",
)


class Writing(nn.Module):
    """All the ways of writing in place that torch.fx shows, on values that are read again afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.swish, self.relu = nn.Hardswish(inplace=True), nn.ReLU(inplace=True)
        self.linear = nn.Linear(4 * 36, 3)
        randomise(self, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        y = self.swish(x)
        y += x
        y.mul_(0.5)
        y = F.leaky_relu(self.second(y), 0.1, inplace=True)
        return self.linear((y + x).flatten(1))


class Twice(nn.Module):
    """One convolution called twice, and a linear layer whose weight is tied to another's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.narrow, self.wide = nn.Linear(144, 144), nn.Linear(144, 144, bias=False)
        self.linear = nn.Linear(144, 3)
        randomise(self, 1)
        self.wide.weight = self.narrow.weight

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(F.relu(self.stem(x))))
        x = F.relu(self.conv(x)).flatten(1)
        return self.linear(self.wide(F.relu(self.narrow(x))))


class Deep(nn.Module):
    """Many channels on small maps, where layers of both layouts take turns, one value is read in both, and two meet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(1, 192, 3, padding=1), nn.Conv2d(192, 192, 3, padding=1)
        self.beside, self.narrow = nn.Conv2d(192, 192, 1), nn.Conv2d(192, 192, 1)
        self.last, self.linear = nn.Conv2d(192, 8, 3, padding=1), nn.Linear(8, 3)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        randomise(self, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.pool(F.relu(self.wide(x) + self.beside(x)))
        x = F.relu(self.last(F.relu(self.narrow(x))))
        return self.linear(x.mean((2, 3)))


class Overwriting(nn.Linear):
    """A layer of somebody's own that spoils its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Spoiling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.last = nn.Linear(36, 36), Overwriting(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.linear(x.flatten(1))))


def classifier(name: str) -> Network:
    torch.manual_seed(0)
    model = registry.build("model", f"torchvision:{name}", {}, shape=(3, 32, 32), n_classes=7)
    return trace(model.to(memory_format=torch.channels_last), (3, 32, 32))


def bounded(network: Network) -> Network:
    """The network with neuron-wise bounds at every other site, some of them below what is seen."""
    generator = torch.Generator().manual_seed(5)
    for site in network.sites[::2]:
        network.install(site, ClipToZero(torch.rand(site.shape, generator=generator) + 0.2))
    return network


def small(name: str) -> Network:
    return trace(SMALL[name]().to(memory_format=torch.channels_last), SHAPE)


SMALL = {"residual": Residual, "writing": Writing, "twice": Twice, "deep": Deep, "spoiling": Spoiling}


def images_of(name: str) -> Tensor:
    return some_images(6, SHAPE if name in SMALL else (3, 32, 32))


def labelled(images: Tensor) -> Images:
    return Images(images, torch.zeros(len(images), dtype=torch.int64))


def network_of(name: str) -> Network:
    return small(name) if name in SMALL else classifier(name)


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
    assert writes_in_place(StagedNetwork(small("spoiling")), some_images())


def maps_of(space: FaultSpace) -> Iterator[FaultMap]:
    """Fault maps from one flip to about a hundred."""
    for n_flips in (1, 2, 5, 100):
        for trial in range(4):
            yield Bernoulli().draw(space, ber=n_flips / space.n_target_bits, seed=n_flips, trial=trial)


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
        with injected(space, fault_map):
            staged, whole = run.faulted(fault_map, run.parts()), [network(part.clone()) for part in batches]
        assert all(same_bits(a, b) for a, b in zip(staged, whole, strict=True))


@pytest.mark.parametrize("memory_bytes", [0, 50_000, 400_000, 3_000_000])
def test_no_more_is_kept_than_there_is_room_for(memory_bytes: int) -> None:
    network = bounded(classifier("shufflenet_v2_x0_5"))
    space = fault_space(network, Q15_16, EVERYTHING)
    run = GoldenRun(network, space, labelled(images_of("")), 64, Staging(memory_bytes, tuple(maps_of(space))))
    assert run.kept_bytes <= memory_bytes
    assert bool(run.kept_bytes) == bool(memory_bytes)


@contextmanager
def counting(module: nn.Module) -> Iterator[list[int]]:
    """The number of images of every call of a module."""
    calls: list[int] = []
    handle = module.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    yield calls
    handle.remove()


def flip(space: FaultSpace, name: str, word: int, bit: int) -> FaultMap:
    index = [item.name for item in space.stored].index(name)
    return FaultMap(np.array([space.offsets[index] + word * space.stored[index].codec.bits + bit]))


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
    with counting(at("conv2")) as before, counting(at("linear")) as behind, injected(space, fault_map):
        run.faulted(fault_map, run.parts())
    assert (before, behind) == ([], [4])


@torch.inference_mode()
def test_a_fault_that_no_image_feels_is_passed_over_and_a_later_one_is_not() -> None:
    network, images = small("residual"), some_images()
    for site in network.sites[:2]:
        network.install(site, ClipToZero(torch.full(site.shape, 100.0)))
    run, space = prepared(network, images)
    unfelt = flip(space, "bounds.relu", 3, 2)
    with counting(network.graph.get_submodule("linear")) as calls, injected(space, unfelt):
        assert same_bits(run.faulted(unfelt, run.parts())[0], run.logits[0])
    assert calls == []
    both = FaultMap(np.sort(np.concatenate([unfelt.addresses, flip(space, "linear.bias", 0, 20).addresses])))
    with injected(space, both):
        assert same_bits(run.faulted(both, run.parts())[0], network(images))
        assert not same_bits(run.faulted(both, run.parts())[0], run.logits[0])


@torch.inference_mode()
def test_memory_that_two_steps_read_is_felt_at_both() -> None:
    """Passing over the first of them must not pass over the second."""
    network, images = small("twice"), some_images()
    run, space = prepared(network, images)
    for name in ("conv.weight", "narrow.weight"):
        for word in range(0, 144, 7):
            fault_map = flip(space, name, word, 24)
            with injected(space, fault_map):
                assert same_bits(run.faulted(fault_map, run.parts())[0], network(images))


@torch.inference_mode()
def test_a_changed_site_is_run_with_what_stands_there_now() -> None:
    network, images = small("residual"), some_images()
    site = site_named(network, "relu#1")
    space = fault_space(network, Q15_16, ("weights", "biases"))
    maps = [flip(space, item.name, 0, 20) for item in space.stored]
    run = GoldenRun(network, space, labelled(images), len(images), Staging(PLENTY, maps), changing=site)
    for bound in (0.3, 0.1, 2.0):
        network.install(site, ClipToZero(torch.tensor(bound)))
        run.changed()
        assert same_bits(run.logits[0], network(images))
        for fault_map in maps:
            with injected(space, fault_map):
                assert same_bits(run.faulted(fault_map, run.parts())[0], network(images))


LAYERS = {
    "3x3": (nn.Conv2d(32, 96, 3, padding=1), (8, 32, 6, 6)),
    "1x1": (nn.Conv2d(32, 96, 1, bias=False), (8, 32, 6, 6)),
    "strided": (nn.Conv2d(5, 64, 5, stride=2, dilation=2), (8, 5, 13, 13)),
    "linear": (nn.Linear(64, 128), (40, 64)),
}


@pytest.mark.parametrize("n_hit", [1, 2, 15, 16, 20])
@pytest.mark.parametrize("name", LAYERS)
@torch.inference_mode()
def test_spliced_outputs_are_those_of_the_whole_layer(name: str, n_hit: int) -> None:
    layer, shape = LAYERS[name]
    layer, x = layer.to(memory_format=torch.channels_last), some_images(shape[0], shape[1:])
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    golden, before = layer(x), layer.weight.clone()
    hit = np.sort(np.random.default_rng(n_hit).permutation(len(before))[:n_hit])
    layer.weight[torch.from_numpy(hit)] *= 1e6
    spliced, whole = Splicer().output(layer, x, golden, hit), layer(x)
    layer.weight.copy_(before)
    assert spliced is not None
    assert same_bits(spliced, whole)
    assert not same_bits(spliced, golden)
    assert Splicer().output(layer, x, golden, hit) is golden


@torch.inference_mode()
def test_nothing_is_spliced_where_channels_that_were_not_hit_come_out_otherwise() -> None:
    layer, x = nn.Linear(64, 64), torch.rand(20, 64)
    golden = layer(x)
    golden[3, 7] = golden[3, 7].nextafter(torch.tensor(9.0))
    splicer = Splicer()
    assert splicer.output(layer, x, golden, np.array([2])) is None
    assert splicer.output(layer, x, layer(x), np.array([2])) is None  # it is not tried again


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4, 2), (3, 5, 1, 1), (1, 1, 4, 4)])
@pytest.mark.parametrize("is_last", [False, True])
def test_channels_of_a_value_are_the_same_however_it_lies_and_lie_as_it_does(shape: tuple[int, ...], is_last: bool):
    value = torch.arange(float(np.prod(shape))).view(shape)
    if is_last and value.dim() == 4:
        value = value.contiguous(memory_format=torch.channels_last)
    where = torch.tensor([0, 3] if shape[1] > 3 else [0])
    found = channels_at(value, where)
    assert torch.equal(found, value.index_select(1, where))
    assert found.dim() < 4 or not is_last or found.is_contiguous(memory_format=torch.channels_last)


def test_channels_are_those_of_the_words_hit() -> None:
    weight = torch.zeros(4, 3, 2, 2)
    assert channels_of(weight, np.array([0, 11, 12, 47])).tolist() == [0, 1, 3]
    assert channels_of(torch.zeros(4), np.array([1, 1, 3])).tolist() == [1, 3]


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.ConvTranspose2d(4, 4, 3)],
)
def test_layers_whose_channels_do_not_stand_alone_are_run_whole(layer: nn.Module) -> None:
    assert not spliceable(layer)
    assert not spliceable(Overwriting(BLOCK, BLOCK))
    assert spliceable(nn.Linear(2, 2))


def test_a_graph_that_is_only_a_lookup_is_staged_too() -> None:
    network = Network(symbolic(nn.Sequential(nn.Linear(4, 3))), ())
    staged = StagedNetwork(network)
    assert staged.needed == ((staged.input,), (staged.steps[0].name,))
