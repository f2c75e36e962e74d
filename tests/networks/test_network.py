"""Tracing: a site for every call of an activation, the memory in order, and the same logits as the model's."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.bounded_activations import ClipToZero
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import (
    N_CLASSES,
    SHAPE,
    Residual,
    names,
    randomise,
    same_bits,
    site_named,
    some_images,
    state_of,
    unchanged,
)


class Head(nn.Module):
    """Two convolutions and a classifier; subclasses say what stands between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.relu, self.hasty = nn.ReLU(), nn.ReLU(inplace=True)
        self.linear = nn.Linear(72, N_CLASSES)
        randomise(self, seed=4)

    def classified(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


class SharedModule(Head):
    def forward(self, x: Tensor) -> Tensor:
        return self.classified(self.relu(self.second(self.relu(self.first(x)))))


class Functions(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.classified(torch.relu(self.second(x)))


class Methods(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.classified(self.second(x).relu_())


class KeywordInput(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(input=self.first(x))
        return self.classified(F.relu(input=self.second(x), inplace=True))


class InPlaceFunctions(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.first(x))
        return self.classified(torch.relu_(self.second(x)))


class InPlaceAndItsInputReadAgain(Head):
    """The shortcut was taken before the activation, but sees it: it is the same memory."""

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.first(x)
        branch = self.second(self.hasty(shortcut))
        return self.classified(F.relu(branch + shortcut))


class InPlaceAndItsInputReadBefore(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        doubled = 2 * x
        F.relu(x, inplace=True)
        return self.classified(F.relu(self.second(x) + doubled, True))


class InPlaceAndItsResultUnnamed(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x.relu_()
        x = self.second(x)
        self.hasty(x)
        x.mul_(0.5)
        return self.classified(x)


class ResultUnused(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        F.relu(x)
        return self.classified(F.relu(self.second(x)))


class CentredConv(nn.Conv2d):
    """A convolution of a model's own, which reads its weight before convolving."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight - self.weight.mean(), self.bias, padding=1)


class OwnLayer(Head):
    def __init__(self) -> None:
        super().__init__()
        self.first = CentredConv(1, 2, 3, padding=1)
        randomise(self, seed=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classified(F.relu(self.second(F.relu(self.first(x)))))


class Nested(nn.Module):
    """Calls the same function twice, in a module of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.relu(x) - 0.1)


class TwoNested(Head):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Nested(), Nested()
        randomise(self, seed=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classified(self.b(self.second(self.a(self.relu(self.first(x))))))


class DeeplyNested(Head):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Identity(), nn.Sequential(Nested()))

    def forward(self, x: Tensor) -> Tensor:
        return self.classified(self.blocks(self.second(self.first(x))))


class SharedLayer(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.classified(F.relu(self.second(F.relu(self.second(x)))))


MODELS: dict[type[nn.Module], list[str]] = {
    SharedModule: ["relu", "relu#1"],
    Functions: ["relu", "relu#1"],
    Methods: ["relu", "relu#1"],
    KeywordInput: ["relu", "relu#1"],
    InPlaceFunctions: ["relu", "relu#1"],
    InPlaceAndItsInputReadAgain: ["hasty", "relu"],
    InPlaceAndItsInputReadBefore: ["relu", "relu#1"],
    InPlaceAndItsResultUnnamed: ["relu", "hasty"],
    ResultUnused: ["relu", "relu#1"],
    OwnLayer: ["relu", "relu#1"],
    TwoNested: ["relu", "a.relu", "a.relu#1", "b.relu", "b.relu#1"],
    DeeplyNested: ["blocks.1.0.relu", "blocks.1.0.relu#1"],
    SharedLayer: ["relu", "relu#1", "relu#2"],
    Residual: ["relu", "relu#1", "relu#2"],
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_call_of_an_activation_is_a_site_and_the_logits_stay(model: Callable[[], nn.Module]) -> None:
    plain = model().eval()
    with torch.inference_mode():
        expected = plain(some_images())
    network = trace(model(), SHAPE)
    assert names(network.sites) == MODELS[model]  # type: ignore[index]  # the parametrisation's own key
    with torch.inference_mode():
        assert same_bits(network(some_images()), expected)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_site_can_be_reached_and_replaced(model: Callable[[], nn.Module]) -> None:
    network = trace(model(), SHAPE)
    for site in network.sites:
        assert type(network.at(site)) is nn.ReLU
        network.install(site, ClipToZero(torch.tensor(0.25)))
        assert type(network.at(site)) is ClipToZero


TORCHVISION = {
    "resnet18": (17, 32),
    "googlenet": (57, 32),
    "vgg11": (10, 32),
    "alexnet": (7, 63),
    "squeezenet1_1": (26, 32),
    "mobilenet_v3_small": (33, 32),
    "shufflenet_v2_x0_5": (37, 32),
    "densenet121": (121, 32),
    "regnet_y_400mf": (65, 32),
    "inception_v3": (94, 75),
}
"""Name → its number of calls of activations, counted in torchvision's source, and the size of images."""

UNINITIALISED = {"googlenet", "vgg11", "inception_v3"}
"""Their own initialisation takes seconds."""


@pytest.mark.parametrize("name", TORCHVISION)
def test_classifiers_of_torchvision_are_traced_whole(name: str) -> None:
    n_sites, size = TORCHVISION[name]
    options = {"init_weights": False} if name in UNINITIALISED else {}
    auxiliary = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=7, **options, **auxiliary).eval()
    images = some_images(2, (3, size, size))
    with torch.inference_mode():
        expected = model(images)
        network = trace(model, (3, size, size))
        assert same_bits(network(images), expected)
    assert len(network.sites) == len(set(names(network.sites))) == n_sites


def test_a_site_starts_as_a_plain_relu_out_of_place() -> None:
    network = trace(InPlaceAndItsInputReadAgain(), SHAPE)
    assert not any(network.at(site).inplace for site in network.sites)


def test_a_replaced_site_acts_there_and_nowhere_else() -> None:
    model, images = SharedModule().eval(), some_images()
    network = trace(model, SHAPE)
    network.install(site_named(network, "relu"), nn.Threshold(0.3, 0.0))
    with torch.inference_mode():
        expected = model.classified(torch.relu(model.second(F.threshold(model.first(images), 0.3, 0.0))))
        assert same_bits(network(images), expected)
    network.install(site_named(network, "relu"), nn.ReLU())
    with torch.inference_mode():
        assert same_bits(network(images), model(images))


def test_an_installed_activation_is_put_into_eval_mode() -> None:
    network = trace(SharedModule(), SHAPE)
    network.install(network.sites[0], nn.Dropout(0.5))
    assert not network.at(network.sites[0]).training
    assert not network.graph.training


def feeding(model: nn.Module, shape: tuple[int, int, int] = SHAPE) -> dict[str, tuple[str, ...]]:
    return {site.name: site.feeding for site in trace(model, shape).sites}


def test_feeding_layers_are_seen_through_norms_additions_and_pools_but_not_through_other_sites() -> None:
    class Model(Head):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.pool, self.side = nn.BatchNorm2d(2), nn.MaxPool2d(3, 1, 1), nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            stem = F.relu(self.pool(self.norm(self.first(x) + self.side(x))))
            return self.classified(F.relu(torch.cat([self.second(stem)[:, :1], stem[:, 1:]], dim=1)))

    assert feeding(Model()) == {"relu": ("first", "side"), "relu#1": ("second",)}
    assert feeding(Residual()) == {"relu": ("conv1",), "relu#1": ("conv2",), "relu#2": ("conv3",)}


def test_a_site_after_an_in_place_site_is_not_fed_by_what_fed_that_one() -> None:
    assert feeding(InPlaceAndItsInputReadAgain()) == {"hasty": ("first",), "relu": ("second",)}


def test_a_site_right_after_another_is_fed_by_no_layer() -> None:
    assert feeding(TwoNested())["a.relu"] == ()
    assert feeding(TwoNested())["b.relu"] == ("second",)


def test_a_layer_called_twice_feeds_both_its_sites() -> None:
    assert feeding(SharedLayer()) == {"relu": ("first",), "relu#1": ("second",), "relu#2": ("second",)}


def parameters(network: Network) -> list[tuple[str, str, str]]:
    return [(parameter.name, parameter.kind, parameter.owner) for parameter in network.parameters()]


def test_parameters_come_in_order_of_execution_bounds_after_the_layer_that_feeds_them() -> None:
    network = trace(Residual(), SHAPE)
    for site in network.sites[:2]:
        network.install(site, ClipToZero(torch.ones(4, 1, 1)))
    assert parameters(network) == [
        ("conv1.weight", "weights", "conv1"),
        ("conv1.bias", "biases", "conv1"),
        ("bn1.weight", "norm_parameters", "bn1"),
        ("bn1.bias", "norm_parameters", "bn1"),
        ("bn1.running_mean", "norm_statistics", "bn1"),
        ("bn1.running_var", "norm_statistics", "bn1"),
        ("bounds.relu", "bounds", "relu"),
        ("conv2.weight", "weights", "conv2"),
        ("bn2.weight", "norm_parameters", "bn2"),
        ("bn2.bias", "norm_parameters", "bn2"),
        ("bn2.running_mean", "norm_statistics", "bn2"),
        ("bn2.running_var", "norm_statistics", "bn2"),
        ("bounds.relu#1", "bounds", "relu#1"),
        ("conv3.weight", "weights", "conv3"),
        ("conv3.bias", "biases", "conv3"),
        ("linear.weight", "weights", "linear"),
        ("linear.bias", "biases", "linear"),
    ]


def test_order_of_execution_is_not_order_of_construction() -> None:
    class Backwards(Head):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.classified(F.relu(self.first(self.second(x))))

    owners = [owner for _, _, owner in parameters(trace(Backwards(), SHAPE))]
    assert owners == ["second", "second", "first", "first", "linear", "linear"]


def test_a_layer_called_twice_is_stored_once() -> None:
    owners = [owner for _, _, owner in parameters(trace(SharedLayer(), SHAPE))]
    assert owners == ["first", "first", "second", "second", "linear", "linear"]


def test_layers_of_a_models_own_class_are_in_memory_too() -> None:
    network = trace(OwnLayer(), SHAPE)
    assert [name for name, _, _ in parameters(network)][:2] == ["first.weight", "first.bias"]
    assert network.sites[0].feeding == ("first",)


def test_the_traced_network_shares_the_models_parameters() -> None:
    model = Residual()
    network = trace(model, SHAPE)
    assert all(p.tensor is model.state_dict(keep_vars=True)[p.name] for p in network.parameters())


def test_a_copy_is_equal_and_independent() -> None:
    network = trace(Residual(), SHAPE)
    before, images = state_of(network), some_images()
    with torch.inference_mode():
        logits = network(images)
        twin = network.copy()
        assert same_bits(twin(images), logits)
        for tensor in (*twin.graph.parameters(), *twin.graph.buffers()):
            tensor.zero_()
        twin.install(twin.sites[0], ClipToZero(torch.tensor(0.0)))
        assert unchanged(network, before)
        assert same_bits(network(images), logits)
    assert twin.sites == network.sites


def test_a_copy_keeps_tied_weights_tied() -> None:
    class Tied(Head):
        def __init__(self) -> None:
            super().__init__()
            self.third = nn.Conv2d(2, 2, 3, padding=1)
            self.third.weight = self.second.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.classified(F.relu(self.third(F.relu(self.second(self.first(x))))))

    twin = trace(Tied(), SHAPE).copy()
    assert twin.graph.get_submodule("third").weight is twin.graph.get_submodule("second").weight


def test_macs_are_counted_by_hand() -> None:
    # conv1: 36 places × 4 channels × 9; conv2 and conv3: 36 × 4 × 36; linear: 36 × 3.
    assert trace(Residual(), SHAPE).macs(SHAPE) == 36 * 4 * 9 + 2 * 36 * 4 * 36 + 36 * 3


def test_a_model_that_branches_on_values_is_refused() -> None:
    class Branching(Head):
        def forward(self, x: Tensor) -> Tensor:
            return self.classified(F.relu(self.second(self.first(x))) if x.sum() > 0 else self.second(self.first(x)))

    refused(Branching(), r"^Branching cannot be traced by torch\.fx: .*; its forward must not branch")


def test_a_model_that_counts_values_is_refused() -> None:
    class Counting(Head):
        def forward(self, x: Tensor) -> Tensor:
            return self.classified(F.relu(self.second(self.first(x))) * int(x.sum()))

    refused(Counting(), r"^Counting cannot be traced by torch\.fx")


def test_a_model_that_asserts_its_input_is_a_tensor_is_refused() -> None:
    class Asserting(Head):
        def forward(self, x: Tensor) -> Tensor:
            assert type(x) is Tensor
            return self.classified(F.relu(self.second(self.first(x))))

    refused(Asserting(), r"^Asserting cannot be traced by torch\.fx: ")


class Capped(Head):
    """ReLU6 as an in-place module called twice and as an in-place function whose input is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.relu6 = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu6(self.second(self.relu6(9 * self.first(x))))
        y = F.relu6(9 * x - 3, inplace=True)
        return self.classified(y + x)


def test_a_relu6_keeps_its_cap_and_its_site_stands_behind_it() -> None:
    model = Capped().eval()
    images = some_images(20)
    with torch.no_grad():
        logits = model(images)
    network = trace(model, SHAPE)
    assert [site.name for site in network.sites] == ["relu6", "relu6#1", "relu"]
    assert same_bits(network(images), logits)
    assert [site.floor for site in network.sites] == [0, 0, 0]
    seen: list[Tensor] = []
    network.at(network.sites[0]).register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(images)
    assert seen[0].min() == 0
    assert seen[0].max() == 6


def test_a_model_whose_activations_are_all_bounded_is_refused() -> None:
    class Gates(Head):
        def forward(self, x: Tensor) -> Tensor:
            return self.classified(torch.tanh(self.second(F.sigmoid(self.first(x)))))

    refused(
        Gates(),
        r"^Gates: no activation without an upper end is called, so there is nothing to bound "
        r"\(it calls Sigmoid 1×, Tanh 1×\); take a network with ReLUs, GELUs, SiLUs or others of torch\.nn$",
    )


class Attentive(nn.Module):
    """Attention, tokens by channels, then a GELU that reads a linear layer's weights without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Linear(6, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp, self.linear = nn.Linear(8, 5), nn.Linear(5, N_CLASSES)
        randomise(self, seed=4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(0, 1))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.linear(F.gelu(F.linear(x, self.mlp.weight, self.mlp.bias)).mean(dim=1))


def test_attention_and_layers_whose_weights_are_read_lie_in_memory_and_feed_sites() -> None:
    model, images = Attentive().eval(), some_images()
    network = trace(model, SHAPE).copy()
    with torch.inference_mode():
        assert same_bits(network(images), model(images))
    assert parameters(network) == [
        ("embed.weight", "weights", "embed"),
        ("embed.bias", "biases", "embed"),
        ("attention.in_proj_weight", "weights", "attention"),
        ("attention.in_proj_bias", "biases", "attention"),
        ("attention.out_proj.weight", "weights", "attention"),
        ("attention.out_proj.bias", "biases", "attention"),
        ("mlp.weight", "weights", "mlp"),
        ("mlp.bias", "biases", "mlp"),
        ("linear.weight", "weights", "linear"),
        ("linear.bias", "biases", "linear"),
    ]
    assert network.sites[0].feeding == ("mlp",)
    for parameter in network.parameters():
        before = network(images).detach()
        with torch.no_grad():
            parameter.tensor.mul_(1.5)
        assert not torch.equal(network(images), before), parameter.name
    in_front = feeding(
        nn.Sequential(nn.Flatten(0, 1), First(model.attention), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    )
    assert in_front == {"2": ("1.module",)}


class First(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 2))
        return self.module(x, x, x, need_weights=False)[0]


def test_multiply_accumulates_of_attention_are_counted_by_hand() -> None:
    n_tokens, width = 6, 8
    projections = n_tokens * (4 * width * width)
    products = 2 * n_tokens * n_tokens * width
    others = n_tokens * (6 * width + width * 5) + 5 * N_CLASSES
    assert trace(Attentive(), SHAPE).macs(SHAPE) == projections + products + others
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("opaque", [nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.LSTM(6, 6)])
def test_modules_that_hide_activations_and_weights_are_refused_with_what_to_do(opaque: nn.Module) -> None:
    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.linear = opaque, nn.Linear(36, N_CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            y = self.hidden(F.relu(x.flatten(0, 1)))
            return self.linear((y[0] if isinstance(self.hidden, nn.LSTM) else y).flatten(1))

    name = type(opaque).__name__
    refused(Hiding(), rf"^Hiding: hidden is one {name} to torch\.fx, .*; write it with linear layers and nn\.Multihead")


def test_images_that_a_model_does_not_take_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    refused(Residual(), "^Residual fails on an image of 3×6×6: ", (3, 6, 6))
    refused(Residual(), "^Residual fails on an image of 1×8×8: ", (1, 8, 8))
    assert capfd.readouterr() == ("", "")  # torch.fx prints a traceback where it meets the error


def test_a_model_that_does_not_go_into_eval_mode_is_refused_and_what_eval_returns_does_not_matter() -> None:
    class Exported(Residual):
        def train(self, mode: bool = True) -> "Exported":
            raise NotImplementedError(f"Calling train({mode}) is not supported yet.")

    class Silent(Residual):
        def train(self, mode: bool = True) -> None:  # type: ignore[override]  # as people write it
            super().train(mode)

    refused(Exported(), r"^Exported cannot be put into eval mode: Calling train\(False\) is not supported yet\.; give ")
    trace(Silent(), SHAPE)


def test_a_model_that_gives_no_logits_is_refused() -> None:
    class Maps(Head):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.first(x))

    class Several(Head):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return F.relu(self.first(x)), x

    refused(Maps(), r"^Maps gives \(1, 2, 6, 6\) for one image of 1×6×6; a classifier gives logits \(1, n_classes\)$")
    refused(Several(), "^Several gives a tuple of 2 for one image")


def refused(model: nn.Module, message: str, shape: tuple[int, int, int] = SHAPE) -> None:
    with pytest.raises(FaultbenchError, match=message) as raised:
        trace(model, shape)
    assert "\n" not in str(raised.value)
