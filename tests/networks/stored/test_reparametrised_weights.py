"""Weights that a network computes before each use lie in memory as they are used, and faults there are felt."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn import qat
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

import faultbench as fb
from faultbench.networks.stored.memory_reads import unfelt_tensors
from faultbench.networks.stored.reparametrised_weights import computed_weights, own_copy
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import N_CLASSES, SHAPE, randomise, same_bits, some_images

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


def network(change: Callable[[nn.Module], object]) -> nn.Module:
    """A convolution and a linear layer, both changed, around a batch norm."""
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, N_CLASSES)]
    model = nn.Sequential(*layers)
    randomise(model, seed=2)
    change(layers[0])
    change(layers[4])
    return model


def pruned_twice(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", 0.3)
    prune.random_unstructured(layer, "weight", 0.2)
    prune.l1_unstructured(layer, "bias", 0.3)


def scaled_by_a_hook(layer: nn.Module) -> None:
    """Equalised learning rates, as StyleGAN has them."""
    raw = layer._parameters.pop("weight")
    layer.register_parameter("raw", raw)

    def hook(module: nn.Module, _inputs: object) -> None:
        module.weight = module.raw * 0.5

    layer.register_forward_pre_hook(hook)


def put_aside(layer: nn.Module) -> None:
    weight = layer._parameters.pop("weight")
    assert weight is not None
    layer.weight = weight.detach()


CHANGES: dict[str, tuple[Callable[[nn.Module], object], tuple[str, ...]]] = {
    "pruning": (lambda layer: prune.l1_unstructured(layer, "weight", 0.3), ("weight",)),
    "pruning, twice, and a bias": (pruned_twice, ("bias", "weight")),
    "weight norm": (weight_norm, ("weight",)),
    "spectral norm": (spectral_norm, ("weight",)),
    "parametrized weight norm": (parametrizations.weight_norm, ("weight",)),
    "parametrized spectral norm": (parametrizations.spectral_norm, ("weight",)),
    "orthogonal": (parametrizations.orthogonal, ("weight",)),
    "own, of a bias": (lambda layer: parametrize.register_parametrization(layer, "bias", Doubled()), ("bias",)),
    "a hook of one's own": (scaled_by_a_hook, ("weight",)),
    "no parameter": (put_aside, ()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_memory_holds_the_weights_that_are_used_and_a_changed_bit_is_felt(name: str) -> None:
    change, computed = CHANGES[name]
    model, images = network(change).eval(), some_images()
    found = trace(model, SHAPE)
    plain = network(nn.Module.eval)
    assert [item.name for item in found.parameters()] == [item.name for item in trace(plain, SHAPE).parameters()]
    assert sorted(found.graph.state_dict()) == sorted(plain.state_dict())
    assert sorted(found.computed) == sorted(f"{place}.{name}" for place in (0, 4) for name in computed)
    with torch.no_grad():
        assert same_bits(found.copy()(images), model(images))
    assert not unfelt_tensors(found, images, {item.name: item.tensor for item in found.parameters()})


@pytest.mark.parametrize("name", CHANGES)
def test_the_users_model_stays_as_it_is(name: str) -> None:
    model, images = network(CHANGES[name][0]).eval(), some_images()
    names = sorted(model.state_dict())
    with torch.no_grad():
        before = model(images)
        fb.protect(model, "clip_act", images)
        assert same_bits(model(images), before)
    assert sorted(model.state_dict()) == names
    assert computed_weights(model) or name == "no parameter"


def test_a_pruned_model_that_ran_with_gradients_can_be_copied() -> None:
    model = network(CHANGES["pruning"][0])
    model(some_images()).sum().backward()
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    assert same_bits(own_copy(model).eval()(some_images()), model.eval()(some_images()))


def test_a_network_whose_layers_remember_values_can_be_copied() -> None:
    model = network(nn.Module.eval)

    def remember(module: nn.Module, _inputs: object, output: Tensor) -> None:
        module.last, module.all = output, [*getattr(module, "all", []), output]

    model[0].register_forward_hook(remember)
    model(some_images()).sum().backward()
    found = trace(model, SHAPE)
    found.graph(some_images())
    assert same_bits(found.copy()(some_images()), model.eval()(some_images()))


def test_tied_weights_stay_tied() -> None:
    first, second = nn.Linear(36, 36), nn.Linear(36, 36)
    second.weight = first.weight
    for layer in (first, second):
        parametrize.register_parametrization(layer, "weight", Doubled())
        layer.parametrizations.weight.original = first.parametrizations.weight.original
    found = trace(nn.Sequential(nn.Flatten(), first, nn.ReLU(), second), SHAPE)
    one, other = (item.tensor for item in found.parameters() if item.kind == "weights")
    assert one is other


def test_weights_of_quantisation_aware_training_are_those_that_it_rounds_to() -> None:
    rounding = get_default_qat_qconfig("fbgemm")
    layers = (qat.Conv2d(1, 4, 3, qconfig=rounding), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(*layers, qat.Linear(64, N_CLASSES, qconfig=rounding))
    randomise(model, seed=2)
    assert computed_weights(model) == ("0.weight", "3.weight")
    weight = next(item.tensor for item in trace(model, SHAPE).parameters() if item.name == "3.weight")
    assert len(weight.unique()) < len(model[3].weight.unique())


def overwritten(layer: nn.Module) -> None:
    layer.register_buffer("kept", layer.weight.detach().clone())

    def hook(module: nn.Module, _inputs: object) -> None:
        module.weight.data.copy_(module.kept)

    layer.register_forward_pre_hook(hook)


def masked_in_place(layer: nn.Module) -> None:
    mask = torch.ones_like(layer.weight)
    mask.view(-1)[::2] = 0
    layer.register_buffer("kept", mask)

    def hook(module: nn.Module, _inputs: object) -> None:
        module.weight.data.mul_(module.kept)

    layer.register_forward_pre_hook(hook)


def replaced(layer: nn.Module) -> None:
    layer.register_buffer("kept", layer.weight.detach().clone())

    def hook(module: nn.Module, _inputs: object) -> None:
        module.weight.data = module.kept.clone()

    layer.register_forward_pre_hook(hook)


@pytest.mark.parametrize("change", [overwritten, masked_in_place, replaced])
def test_a_weight_that_is_overwritten_in_each_pass_is_named(change: Callable[[nn.Module], None]) -> None:
    found = trace(network(change), SHAPE)
    tensors = {item.name: item.tensor for item in found.parameters()}
    failed = unfelt_tensors(found, some_images(1), tensors)
    assert failed == dict.fromkeys(("0.weight", "4.weight"), "is overwritten while the network runs")


def test_a_tensor_that_is_never_read_is_named() -> None:
    found = trace(network(nn.Module.eval), SHAPE)
    assert unfelt_tensors(found, some_images(1), {"stray": torch.ones(3)}) == {"stray": "is never read"}


class RebuildingWrapper(nn.Module):
    """Spectral norm as it was written before torch had it: a forward puts a new weight into a layer."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.raw = layer, nn.Parameter(layer.weight.detach())
        del layer._parameters["weight"]

    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight = self.raw / self.raw.norm()
        return self.layer(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), RebuildingWrapper(nn.Linear(36, N_CLASSES)), nn.ReLU()),
            r"1\.layer\.weight is computed anew by a forward in every pass.*; make it a parameter, or",
        ),
        (
            network(lambda layer: parametrize.register_parametrization(layer, "weight", Noisy())),
            r"0\.weight is computed otherwise each time that it is read; faults need a network",
        ),
    ],
)
def test_what_cannot_be_put_in_place_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(FaultbenchError, match=message):
        trace(model, SHAPE)
