"""Networks prepared for quantisation by torch.ao: what their observers keep is no memory, and they change nothing."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.quantization import observer, quantize_fx

import faultbench as fb
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from tests.builders.networks import DIGIT_SHAPE, some_images

IMAGES = some_images(8, DIGIT_SHAPE)

OBSERVERS = {
    "extremes": observer.MinMaxObserver,
    "moving extremes": observer.MovingAverageMinMaxObserver,
    "histogram": observer.HistogramObserver,
    "recording": observer.RecordingObserver,
    "placeholder": observer.PlaceholderObserver,
}


class Plain(nn.Module):
    """A convolution and a linear layer, between the stubs where quantised values begin and end."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)
        self.relu, self.begin, self.end = nn.ReLU(), quantization.QuantStub(), quantization.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(self.begin(x)))
        return self.end(self.linear(x.flatten(1)))


def calibrated(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model(IMAGES)
    return model


def prepared(kind: str, *, fused: bool = False) -> nn.Module:
    model: nn.Module = Plain().eval()
    if fused:
        model = quantization.fuse_modules(model, [["conv", "relu"]])
    model.qconfig = quantization.QConfig(activation=OBSERVERS[kind], weight=observer.default_weight_observer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces another package
        return calibrated(quantization.prepare(model))


def prepared_as_graph() -> nn.Module:
    mapping = quantization.get_default_qconfig_mapping("fbgemm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return calibrated(quantize_fx.prepare_fx(Plain().eval(), mapping, (IMAGES,)))


def quantisation_aware() -> nn.Module:
    model = Plain().train()
    model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return calibrated(quantization.prepare_qat(model))


PREPARED: dict[str, Callable[[], nn.Module]] = {
    **{kind: lambda kind=kind: prepared(kind) for kind in OBSERVERS},  # type: ignore[misc]  # bound as a default
    "fused": lambda: prepared("histogram", fused=True),
    "a graph": prepared_as_graph,
}


def memory_of(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    return [(item.kind, tuple(item.tensor.shape)) for item in network.parameters()]


@pytest.mark.parametrize("name", PREPARED)
def test_a_prepared_network_is_its_float_network_in_memory_and_in_what_it_computes(name: str) -> None:
    model, plain = PREPARED[name](), Plain().eval()
    network = trace(model, DIGIT_SHAPE)
    assert memory_of(network) == memory_of(trace(plain, DIGIT_SHAPE))
    with torch.no_grad():
        assert torch.equal(network(IMAGES), trace(plain, DIGIT_SHAPE)(IMAGES))


def test_protect_leaves_the_observers_in_the_users_own_model() -> None:
    model = prepared("extremes")
    before = copy.deepcopy(model.state_dict())
    fb.protect(model, "clip_act", IMAGES)
    calibrated(model)
    assert isinstance(model.conv.activation_post_process, observer.MinMaxObserver)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_inject_names_what_observers_keep_as_outside() -> None:
    model = prepared("extremes")
    with fb.inject(model, ber=0) as flips:
        assert flips.n_bits == 32 * sum(parameter.numel() for parameter in Plain().parameters())
        assert flips.outside == {"others": 32 * 3 * 3}  # eps, least and largest of three observers


def test_the_products_of_a_network_that_fake_quantises_its_weights_are_counted() -> None:
    network = trace(quantisation_aware(), DIGIT_SHAPE)
    assert network.macs(DIGIT_SHAPE) == trace(Plain().eval(), DIGIT_SHAPE).macs(DIGIT_SHAPE) == 36 * 4 * 9 + 1440
    assert any(parameter.requires_grad for parameter in network.graph.parameters())
