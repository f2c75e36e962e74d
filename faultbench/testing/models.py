"""Contract of networks: each is built for a data set's images, traced whole, and can be trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from faultbench.datasets import Images
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.networks.training import RECIPES, try_training
from faultbench.system.errors import FaultbenchError
from faultbench.testing.contract import Contract
from faultbench.testing.selection import Plugin
from faultbench.testing.tensors import random_images, randomise, same_bits

Shape = tuple[int, int, int]

N_CLASSES = 10


@dataclass
class TracedModel:
    """Network with values of its own everywhere, its logits for three images, and its traced form."""

    model: nn.Module
    images: Tensor
    logits: Tensor
    network: Network


class ShapeRecorder(nn.Module):
    """ReLU that remembers the shape of its output."""

    def __init__(self) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x)."""
        self.shape = tuple(x.shape)
        return torch.relu(x)


def build(plugin: Plugin, shapes: Sequence[Shape], n_classes: int = N_CLASSES) -> tuple[Any, Shape]:
    """Return the network for the first of these image shapes that it takes, and the shape."""
    reasons = []
    for shape in shapes:
        try:
            return plugin.build(shape=shape, n_classes=n_classes), shape
        except FaultbenchError as error:
            reasons.append(f"{shape}: {error}")
    raise AssertionError(f"{plugin} takes no images of the shapes to try (`shapes` of the test class): {reasons}")


def recorded_shapes(network: Network, images: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape that the values of every site have when images run through a copy of the network."""
    copied, recorders = network.copy(), {site.name: ShapeRecorder() for site in network.sites}
    for site in network.sites:
        copied.install(site, recorders[site.name])
    with torch.inference_mode():
        copied(images)
    return {name: recorder.shape for name, recorder in recorders.items()}


class TestModels(Contract):
    """Every network, built for the first of some image shapes that it takes."""

    kind = "model"
    shapes: ClassVar[tuple[Shape, ...]] = ((1, 8, 8), (3, 32, 32), (3, 224, 224))
    """Shapes of images to try: channels, height, width."""

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, plugin: Plugin) -> TracedModel:
        """Return a network with random values, as it is and traced; FaultbenchError if it cannot be traced."""
        model, shape = build(plugin, cls.shapes)
        assert isinstance(model, nn.Module), f"{plugin} builds {type(model).__name__}; return a torch.nn.Module"
        randomise(model, seed=1)
        for parameter in model.parameters():
            parameter.data /= max(1.0, parameter[0].numel() ** 0.5)  # or the logits of deep networks overflow
        images = random_images(3, shape)
        with torch.inference_mode():
            logits = model.eval()(images)
        return TracedModel(model, images, logits, trace(model, shape))

    def test_it_gives_one_logit_for_each_class(self, subject: TracedModel) -> None:
        logits = subject.logits
        assert tuple(logits.shape) == (3, N_CLASSES), f"for 3 images and {N_CLASSES} classes: {tuple(logits.shape)}"
        assert logits.std() > 0, "the logits are all equal"

    def test_it_heeds_the_number_of_classes(self, plugin: Plugin) -> None:
        model, shape = build(plugin, self.shapes, n_classes=7)
        with torch.inference_mode():
            n_logits = model.eval()(random_images(2, shape)).shape[-1]
        assert n_logits == 7, f"{n_logits} logits where n_classes is 7"

    def test_the_traced_network_gives_the_same_logits_bit_for_bit(self, subject: TracedModel) -> None:
        with torch.inference_mode():
            assert same_bits(subject.network(subject.images), subject.logits), "traced, the network gives other logits"
            assert same_bits(subject.network.copy()(subject.images), subject.logits), "a copy gives other logits"

    def test_it_has_sites_for_bounds_each_of_the_shape_it_says_and_a_name_of_its_own(
        self, subject: TracedModel
    ) -> None:
        names = [site.name for site in subject.network.sites]
        assert names, "it has no ReLU that a scheme could bound"
        assert len(set(names)) == len(names)
        expected = {site.name: (3, *site.shape) for site in subject.network.sites}
        assert recorded_shapes(subject.network, subject.images) == expected

    def test_its_weights_lie_in_memory_under_names_of_their_own(self, subject: TracedModel) -> None:
        stored = list(subject.network.parameters())
        names = [item.name for item in stored]
        assert any(item.kind == "weights" for item in stored), "no weights lie in memory: faults have nothing to hit"
        assert len(set(names)) == len(names)

    def test_it_can_be_trained(self, plugin: Plugin) -> None:
        model, shape = build(plugin, self.shapes)
        images = Images(random_images(8, shape), torch.arange(8) % N_CLASSES)
        try_training(model, images, lambda pixels, _: pixels, RECIPES["fast"], str(plugin))

    def test_building_it_twice_gives_one_architecture(self, plugin: Plugin) -> None:
        shapes = [
            {name: tensor.shape for name, tensor in build(plugin, self.shapes)[0].state_dict().items()}
            for _ in range(2)
        ]
        assert shapes[0] == shapes[1], "two builds have other tensors; a builder may depend on its arguments alone"
