"""torchvision's classifiers by name: traced whole, or refused with what is wrong and what would be right."""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from faultbench.campaign import parse_campaign
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.overhead import count_parameters
from faultbench.schemes.scheme import equal_bounds, protect_copy
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import same_bits, some_images

N_CLASSES = 7


def built(name: str, size: int = 32, n_channels: int = 3) -> nn.Module:
    shape = (n_channels, size, size)
    return registry.build("model", f"torchvision:{name}", {}, shape=shape, n_classes=N_CLASSES)


def refused(name: str, size: int = 32) -> str:
    """What is told when the classifier is built and traced."""
    with pytest.raises(FaultbenchError) as caught:
        trace(built(name, size), (3, size, size))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Operations(TorchDispatchMode):
    """Counts what torch computes, below modules, functions and tracing."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counted[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


ACTIVATIONS = ("relu", "hardtanh", "gelu", "silu", "hardswish")
"""What torch computes for ReLU, ReLU6, GELU, SiLU and Hardswish; in place with an underscore."""


def logits_and_activations(model: nn.Module, images: Tensor) -> tuple[Tensor, int]:
    with torch.no_grad(), Operations() as operations:
        logits = model(images)
    return logits, sum(operations.counted[name] + operations.counted[f"{name}_"] for name in ACTIVATIONS)


SIZES = {
    **dict.fromkeys(
        ["resnet18", "resnext50_32x4d", "googlenet", "vgg11_bn", "squeezenet1_1", "mobilenet_v3_small"], 32
    ),
    **dict.fromkeys(["mobilenet_v2", "efficientnet_b0", "convnext_tiny", "swin_t", "vit_b_32"], 32),
    **dict.fromkeys(["mnasnet0_5", "shufflenet_v2_x0_5", "densenet121", "regnet_x_400mf", "regnet_y_400mf"], 32),
    "alexnet": 64,
    "inception_v3": 75,
}
"""Side of the smallest images tried; these take no smaller ones of 32 or 64, alexnet no 32 and inception_v3 no 64."""


@pytest.mark.parametrize("name", SIZES)
def test_a_classifier_of_torchvision_is_traced_whole(name: str) -> None:
    shape = (3, SIZES[name], SIZES[name])
    model, images = built(name, SIZES[name]).eval(), some_images(2, shape)
    for layer in [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]:
        nn.init.normal_(layer.weight)  # a transformer's starts at 0, which would make all logits equal
    logits, n_activations = logits_and_activations(model, images)
    network = trace(model, shape)
    with torch.no_grad():
        assert same_bits(network(images), logits)
    assert logits.shape == (2, N_CLASSES)
    assert logits.std() > 0
    assert len({site.name for site in network.sites}) == len(network.sites) == n_activations
    assert logits_and_activations(network.graph, images)[1] == n_activations


@pytest.mark.parametrize(("name", "n_sites", "first"), [("resnet18", 17, "relu"), ("googlenet", 57, "conv1.relu")])
def test_shared_modules_and_functions_are_sites_of_their_own(name: str, n_sites: int, first: str) -> None:
    sites = trace(built(name), (3, 32, 32)).sites
    assert (len(sites), sites[0].name) == (n_sites, first)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_a_classifier_has_one_output_in_training_too_and_builds_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logits = built(name, 75).train()(some_images(2, (3, 75, 75)))
    assert isinstance(logits, Tensor)
    assert logits.shape == (2, N_CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "swin_t"])
def test_every_scheme_takes_classifiers_with_other_activations_and_changes_nothing_unless_it_bounds(name: str) -> None:
    shape = (3, 32, 32)
    images, network = some_images(2, shape), trace(built(name), shape)
    with torch.inference_mode():
        logits = network(images)
        for scheme in (registry.build("scheme", scheme, {}) for scheme in registry.catalogue("scheme")):
            endless, none = (protect_copy(network, scheme, equal_bounds(network, scheme, b)) for b in (math.inf, 0.0))
            assert same_bits(endless(images), logits)
            n_bounds = count_parameters(none, FixedPoint(15, 16)).n_bounds
            assert sum(bounds.numel() for bounds in equal_bounds(network, scheme, 0.0).values()) == n_bounds
            assert same_bits(none(images), logits) is (n_bounds == 0)


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "alexnet", "squeezenet1_1", "inception_v3"])
def test_images_that_are_too_small_are_refused_with_what_to_do(name: str) -> None:
    message = refused(name, size=8)
    assert "fails on an image of 3×8×8: " in message
    assert message.endswith("; take another network, or other images")


def test_images_of_another_size_than_a_transformer_was_built_for_are_refused() -> None:
    message = r"^VisionTransformer fails on an image of 3×64×64: Wrong image height! Expected 32 but got 64!; raised in"
    with pytest.raises(FaultbenchError, match=message):
        trace(built("vit_b_32", 32), (3, 64, 64))


def test_a_campaign_is_told_of_a_classifier_by_the_name_it_gave() -> None:
    text = "{name: c, datasets: [cifar10], models: ['torchvision:inception_v3'], schemes: [relu], bers: [1e-6]}"
    (subject,) = parse_campaign(text, Path("c.yaml")).subjects
    with pytest.raises(FaultbenchError, match=r"^torchvision:inception_v3 on cifar10: Inception3 fails on an image"):
        _ = build_components(subject).untrained_network


def test_a_classifier_starts_from_the_same_weights_in_every_process() -> None:
    text = "{name: c, datasets: [cifar10], models: ['torchvision:swin_t'], schemes: [relu], bers: [1e-6]}"
    (subject,) = parse_campaign(text, Path("c.yaml")).subjects
    first = build_components(subject).model().state_dict()
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = build_components(subject).model().state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_vision_transformer_whose_patches_do_not_fit_is_refused() -> None:
    with pytest.raises(
        FaultbenchError, match=r"^torchvision:vit_b_16 does not take images of 3×8×8: Input shape indiv"
    ):
        built("vit_b_16", 8)


def test_images_that_are_not_in_colour_are_refused() -> None:
    with pytest.raises(FaultbenchError, match=r"^torchvision:resnet18 takes images of 3 channels; given 1; digits_cnn"):
        built("resnet18", n_channels=1)


@pytest.mark.parametrize("name", ["resnet1", "fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18", "quantized_resnet18"])
def test_what_is_no_classifier_of_torchvision_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(FaultbenchError, match=f"^unknown classifier of torchvision '{name}'") as caught:
        built(name)
    known = torchvision.models.list_models(module=torchvision.models)
    assert str(caught.value).endswith(f"(known: {', '.join(known)})")
    if name == "resnet1":
        assert "; did you mean 'resnet18'? (" in str(caught.value)
