"""Activations inside of layers that torch.fx takes as one call: they are sites, or the network is refused."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench import protect
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import randomise, some_images

SHAPE = (1, 6, 6)


class LinearReLU(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class ActivationFirst(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.gelu(x))


class ByHand(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.mean().clamp(min=0)  # of memory alone: no site
        return torch.clamp(super().forward(x), min=0) + scale


class ConvSiLU(nn.Conv2d):
    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.silu(super()._conv_forward(x, weight, bias))


class OwnActivation(nn.Conv2d):
    def __init__(self, n_in: int, n_out: int, size: int) -> None:
        super().__init__(n_in, n_out, size)
        self.activation = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        n_channels = self.weight.shape[0]
        shift = torch.zeros([1] * len(self.weight.shape)) + n_channels - len(self.weight)
        return self.activation(super().forward(x) + shift)


class Rectified(nn.MultiheadAttention):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # one of its own
        return F.relu(
            F.multi_head_attention_forward(
                *(x, x, x, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, None, None, False),
                *(0.0, self.out_proj.weight, self.out_proj.bias),
                training=False,
                need_weights=False,
            )[0]
        )


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda _, __, made: F.relu(made))
    return layer


def behind(layer: nn.Module) -> nn.Module:
    layer.register_forward_pre_hook(lambda _, given: (F.relu(given[0]),))
    return layer


def linear(layer: nn.Module) -> nn.Module:
    """A classifier of the 36 pixels, with one activation beside those of the layer."""
    return nn.Sequential(nn.Flatten(), layer, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def convolution(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(128, 8), nn.ReLU(), nn.Linear(8, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[tuple[str, tuple[str, ...]]]]] = {
    "a linear layer": (lambda: linear(LinearReLU(36, 8)), [("1.relu", ("1",)), ("3", ("2",))]),
    "a clamp": (lambda: linear(ByHand(36, 8)), [("1.clamp", ("1",)), ("3", ("2",))]),
    "an activation first": (lambda: linear(ActivationFirst(36, 8)), [("1.gelu", ()), ("3", ("2",))]),
    "an inner method": (lambda: convolution(ConvSiLU(1, 8, 3)), [("0.silu", ("0",)), ("3", ("2",))]),
    "an inner module": (lambda: convolution(OwnActivation(1, 8, 3)), [("0.activation", ("0",)), ("3", ("2",))]),
    "a hook": (lambda: linear(hooked(nn.Linear(36, 8))), [("1.relu", ("1",)), ("3", ("2",))]),
    "a hook in front": (lambda: linear(behind(nn.Linear(36, 8))), [("1.relu", ()), ("3", ("2",))]),
    "a lazy layer": (lambda: linear(hooked(nn.LazyLinear(8))), [("1.relu", ("1",)), ("3", ("2",))]),
    "a norm with a hook": (
        lambda: nn.Sequential(nn.Conv2d(1, 8, 3), hooked(nn.BatchNorm2d(8)), nn.Flatten(), nn.Linear(128, 3)),
        [("1.relu", ("0",))],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_an_activation_inside_of_a_layer_is_a_site_that_the_layer_feeds(name: str) -> None:
    build, sites = NETWORKS[name]
    model, images = build().eval(), some_images(5, SHAPE)
    model(images)
    randomise(model, seed=4)
    expected = copy.deepcopy(model)(images)
    network = trace(model, SHAPE)
    assert [(site.name, site.feeding) for site in network.sites] == sites
    torch.testing.assert_close(network(images), expected)


def memory_of(network: Network) -> list[tuple[str, str]]:
    return [(parameter.name, parameter.kind) for parameter in network.parameters()]


def test_a_layer_that_is_followed_keeps_its_memory() -> None:
    followed, plain = (trace(linear(layer), SHAPE) for layer in (LinearReLU(36, 8), nn.Linear(36, 8)))
    assert memory_of(followed) == memory_of(plain)


class Doubling(nn.Linear):
    """Writes into its input, which is read again."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.doubling, self.last = nn.Linear(36, 8), Doubling(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        y = F.relu(self.doubling(x))
        return self.last(x + y)


@torch.no_grad()
def test_a_layer_that_writes_into_its_input_is_followed() -> None:
    model, images = Twice().eval(), some_images(5, SHAPE)
    network = trace(model, SHAPE)
    for _ in range(2):
        torch.testing.assert_close(network(images), model(images))


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_fused_layers_of_quantisation_aware_training_have_their_sites_and_keep_their_scales() -> None:
    model, images = trained_for_quantisation(), some_images(16, SHAPE)
    network = trace(copy.deepcopy(model), SHAPE)
    model.apply(torch.ao.quantization.disable_observer)
    expected = model(images)
    assert [(site.name, site.feeding) for site in network.sites] == [
        ("0.relu", ("0",)),
        ("3.relu", ("3",)),
        ("7", ("6",)),
    ]
    network(9 * images)  # an observer that is on would widen its scales
    torch.testing.assert_close(network(images), expected)
    weights = {name for name, kind in memory_of(network) if kind == "weights"}
    assert weights == {"0.weight", "3.weight", "6.weight", "8.weight"}
    protected = protect(model, "clip_act", images)
    assert sum("bounds" in name for name, _ in protected.named_parameters()) == 3


def trained_for_quantisation() -> nn.Module:
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        from torch.ao.quantization import fuse_modules_qat, get_default_qat_qconfig, prepare_qat

        layers = (
            *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 3)),
        )
        model = nn.Sequential(*layers).train()
        fuse_modules_qat(model, [["0", "1", "2"], ["3", "4"]], inplace=True)
        model.qconfig = get_default_qat_qconfig("x86")  # type: ignore[assignment]  # as torch.ao is told
        prepare_qat(model, inplace=True)
        model(some_images(16, SHAPE))
    return model.eval()


@torch.fx.wrap
def wrapped(x: Tensor) -> Tensor:
    return F.relu(x) if x.dim() else x


class Wrapping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(36, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(wrapped(self.first(x.flatten(1)))))


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x)) if x.sum() > -1e30 else x


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a function under torch.fx.wrap": (
        Wrapping,
        r"^Wrapping: ReLU runs inside of wrapped, in the model itself at .*py:",
    ),
    "a layer that cannot be followed": (
        lambda: linear(Branching(36, 8)),
        r"^Sequential cannot be traced by torch\.fx: .* \(it is followed since ReLU runs inside of 1 \(Branching\)\)$",
    ),
    "a scripted stage": (
        lambda: linear(torch.jit.script(nn.Sequential(nn.Linear(36, 8), nn.ReLU()))),
        r"^Sequential: 1 is TorchScript, ",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_activations_that_no_bound_can_reach_are_refused_with_what_to_do(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(FaultbenchError, match=message) as raised:
        trace(build(), SHAPE)
    assert "\n" not in str(raised.value)
