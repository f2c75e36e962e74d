"""Each layer has the faster memory layout, and logits depend on the layout in their last bits only."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from faultbench.networks.memory_layout import MANY_CHANNELS, REORDERS, SMALL_MAP, row_major_layers
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.plugins.registry import build
from faultbench.schemes.bounded_activations import ClipToZero
from tests.builders.networks import some_images

MANY, MAP = MANY_CHANNELS, int(SMALL_MAP**0.5)


def laid_out(model: nn.Module, shape: tuple[int, int, int]) -> Network:
    return trace(model.to(memory_format=torch.channels_last), shape)


def one(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], int, bool]] = {
    "many channels on a small map": (lambda: nn.Conv2d(MANY, 8, 3, padding=1), MAP, True),
    "larger filters": (lambda: nn.Conv2d(MANY, 8, 5, padding=2), MAP, True),
    "to a small map": (lambda: nn.Conv2d(MANY, 8, 3, stride=2, padding=1), 2 * MAP, True),
    "to a larger map": (lambda: nn.Conv2d(MANY, 8, 3, padding=1), MAP + 1, False),
    "fewer channels": (lambda: nn.Conv2d(MANY - 1, 8, 3, padding=1), MAP, False),
    "a matrix": (lambda: nn.Conv2d(MANY, 8, 1), MAP, False),
    "groups": (lambda: nn.Conv2d(MANY, 8, 3, padding=1, groups=2), MAP, False),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_lies_as_it_is_faster(name: str) -> None:
    made, side, is_row_major = CONVOLUTIONS[name]
    layer = made()
    network = laid_out(one(layer), (layer.in_channels, side, side))
    assert row_major_layers(network.graph) == (["0"] if is_row_major else [])
    assert network.sites[0].row_major is is_row_major
    assert sum(REORDERS in node.meta for node in network.graph.graph.nodes) == is_row_major


class Forked(nn.Module):
    """One value that two row-major layers read."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(MANY, 4, 3), nn.Conv2d(MANY, 4, 3)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.relu(self.one(x) + self.other(x)).amax((2, 3)))


def test_what_two_layers_read_is_reordered_once() -> None:
    network = laid_out(Forked(), (MANY, MAP, MAP))
    assert row_major_layers(network.graph) == ["one", "other"]
    assert sum(REORDERS in node.meta for node in network.graph.graph.nodes) == 1


ROW_MAJOR = {"vgg16": (12, 14, 17, 19, 21, 24, 26, 28), "alexnet": (6, 8, 10), "resnet20": ()}


@pytest.mark.parametrize("name", ROW_MAJOR)
@torch.inference_mode()
def test_networks_give_their_logits_but_for_last_bits(name: str) -> None:
    torch.manual_seed(0)
    model = build("model", name, {}, shape=(3, 32, 32), n_classes=10).eval()
    images = some_images(4, (3, 32, 32))
    expected = model(images)
    network = laid_out(model, (3, 32, 32))
    assert torch.allclose(network(images.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
    for graph in (network.graph, network.copy().graph):
        assert row_major_layers(graph) == [f"features.{number}" for number in ROW_MAJOR[name]]
        assert sum(REORDERS in node.meta for node in graph.graph.nodes) == bool(ROW_MAJOR[name])


@torch.inference_mode()
def test_bounds_lie_as_the_values_that_they_are_held_against() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, MANY, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(MANY, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 3)),
    )
    network = laid_out(model, (3, 12, 12))
    seen: dict[str, Tensor] = {}
    for site in network.sites:
        network.install(site, ClipToZero(torch.rand(site.shape)))
        network.at(site).register_forward_pre_hook(lambda _, args, name=site.name: seen.update({name: args[0]}))
    network(some_images(2, (3, 12, 12)).contiguous(memory_format=torch.channels_last))
    assert [site.row_major for site in network.sites] == [False, True]
    for site in network.sites:
        assert network.at(site).bounds.stride() == seen[site.name].stride()[1:]
