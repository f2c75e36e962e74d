"""`fb.inject` refuses a model whose weights it cannot hit, and says what lies outside of its parameters."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.testing._internal.two_tensor import TwoTensor

import faultbench as fb
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import N_CLASSES, Residual, same_bits, some_images

pytestmark = [pytest.mark.filterwarnings("ignore:.*torch.jit"), pytest.mark.filterwarnings("ignore:.*quant")]


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, N_CLASSES)
    ).eval()


def with_weight(change: Callable[[Tensor], Tensor]) -> nn.Module:
    model = plain()
    model[4].weight = nn.Parameter(change(model[4].weight.detach()), requires_grad=False)
    return model


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return plain()


def with_frozen_stage() -> nn.Module:
    model = plain()
    model[0] = torch.jit.freeze(torch.jit.script(nn.Sequential(model[0])).eval())
    return model


def quantised(model: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


class Packed(nn.Module):
    """A layer as quantisers of large networks make it: integers, and their scales."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("qweight", torch.ones(36, N_CLASSES, dtype=torch.int8))
        self.scale = nn.Parameter(torch.ones(N_CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ (self.qweight.float() * self.scale)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "quantised": (
        lambda: quantised(nn.Sequential(nn.Flatten(), nn.Linear(36, 3))),
        r"weights in 1\._packed_params are",
    ),
    "quantised in part": (lambda: quantised(plain()), r"weights in 4\._packed_params are no parameters"),
    "scripted and quantised": (lambda: torch.jit.script(quantised(plain())), "packed, quantised, frozen or plain"),
    "frozen": (lambda: torch.jit.freeze(torch.jit.script(plain())), "weights in the model itself are no parameters"),
    "frozen in part": (with_frozen_stage, "weights in 0 are no parameters"),
    "integers": (Packed, "weights in the model itself are no parameters, but packed, quantised"),
    "no parameters": (nn.ReLU, "ReLU has no parameters, so there is nothing to hit"),
    "empty parameters": (lambda: nn.ParameterList([torch.ones(0)]), "has no parameters"),
    "a function": (lambda: torch.relu, r"a torch\.nn\.Module; given a builtin_function_or_method"),
    "meta": (on_meta, r"0\.weight is on the device meta"),
    "sparse": (lambda: with_weight(Tensor.to_sparse), r"4\.weight is torch\.sparse_coo"),
    "a subclass": (lambda: with_weight(lambda w: TwoTensor(w, w.clone())), r"4\.weight is a TwoTensor, which keeps"),
    "lazy": (lambda: nn.LazyLinear(3), "weight has no shape yet"),
    "half": (lambda: plain().half(), "is torch.float16; only float32"),
    "bfloat16 in part": (lambda: with_weight(Tensor.bfloat16), "'4.weight' is torch.bfloat16; only float32"),
    "pruned": (
        lambda: prune.l1_unstructured(plain()[4], "weight", 0.3),
        "computed before each use: weight; memory holds",
    ),
    "parametrized": (
        lambda: parametrizations.weight_norm(plain()[4]),
        "computed before each use: weight; memory holds",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_whose_weights_cannot_be_hit_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(FaultbenchError, match=f"^inject: .*{message}"), fb.inject(make(), ber=1e-3):  # type: ignore[arg-type]
        pass


def in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return plain()


def in_one_buffer() -> nn.Module:
    model = plain()
    flat = torch.cat([parameter.detach().view(-1) for parameter in model.parameters()])
    start = 0
    for module in model.modules():
        for name, parameter in module._parameters.items():
            stop = start + parameter.numel()
            module._parameters[name] = nn.Parameter(flat[start:stop].view_as(parameter))
            start = stop
    return model


TAKEN: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "without gradients": lambda: plain().requires_grad_(False),
    "made under inference_mode": in_inference_mode,
    "views of one buffer": in_one_buffer,
    "data parallel": lambda: nn.DataParallel(plain()),
    "compiled": lambda: torch.compile(plain(), backend="eager"),
    "scripted": lambda: torch.jit.script(plain()),
    "recorded": lambda: torch.jit.trace(plain(), some_images(1)),
    "exported": lambda: torch.export.export(plain(), (some_images(1),)).module(),
}


@pytest.mark.parametrize("name", TAKEN)
def test_faults_in_a_model_that_is_taken_are_felt_and_gone_afterwards(name: str) -> None:
    model, images = TAKEN[name](), some_images(1)
    with torch.no_grad():
        golden = model(images)
        with fb.inject(model, ber=1e-2) as flips:
            assert not same_bits(model(images), golden)
        assert same_bits(model(images), golden)
    assert flips.n_bits == 32 * sum(parameter.numel() for parameter in plain().parameters())
    assert flips.outside == {"norm_statistics": 32 * 8}


def test_buffers_are_outside_by_kind_and_matrices_among_them_are_warned_of() -> None:
    model = Residual()
    with fb.inject(model, ber=0, format="float16") as flips:
        assert flips.outside == {"norm_statistics": 16 * 16}
    model.register_buffer("mask", torch.ones(3, 3, dtype=torch.int64))
    model.register_buffer("mean", torch.ones(3))
    with pytest.warns(UserWarning, match="inject: no fault hits mask: "), fb.inject(model, ber=0) as flips:
        assert flips.outside == {"norm_statistics": 16 * 32, "integers": 9 * 64, "others": 3 * 32}


@dataclass
class Record:
    """What a model may keep its tensors in."""

    held: object


HOLDERS: dict[str, tuple[Callable[[object], object], str]] = {
    "a list": (lambda held: [held], "held[0]"),
    "a tuple in a mapping": (lambda held: {"a": (0, held)}, "held['a'][1]"),
    "a record": (Record, "held.held"),
    "a namespace": (lambda held: SimpleNamespace(inner=[held]), "held.inner[0]"),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_tensors_and_layers_that_a_model_keeps_in_containers_are_outside_and_named(holder: str) -> None:
    make, name = HOLDERS[holder]
    model = plain()
    model.held = make(torch.ones(3, 3))
    with pytest.warns(UserWarning, match=re.escape(f"no fault hits {name}: ")), fb.inject(model, ber=0) as flips:
        assert flips.outside == {"norm_statistics": 32 * 8, "others": 32 * 9}
    model.held = make(nn.Parameter(torch.ones(3)))
    with fb.inject(model, ber=0) as flips:
        assert flips.outside == {"norm_statistics": 32 * 8, "others": 32 * 3}
    model.held = make(nn.Linear(5, 3))
    with pytest.warns(UserWarning, match=re.escape(f"no fault hits {name}.weight: ")), fb.inject(model, ber=0) as flips:
        assert flips.outside == {"norm_statistics": 32 * 8, "others": 32 * 18}


def test_what_a_container_holds_besides_is_counted_once() -> None:
    model = plain()
    shared = torch.ones(3)
    model.held = [model, model[0], model[0].weight, model[1].running_mean, shared, shared, {"again": [shared]}]
    model.held.append(model.held)
    with fb.inject(model, ber=0) as flips:
        assert flips.outside == {"norm_statistics": 32 * 8, "others": 32 * 3}


def test_faults_that_a_model_overwrites_are_told_after_the_block() -> None:
    model = plain()
    kept = model[4].weight.detach().clone()

    def hook(module: nn.Module, _inputs: object) -> None:
        module.weight.data.copy_(kept)

    model[4].register_forward_pre_hook(hook)

    def run() -> None:
        with fb.inject(model, ber=1e-2):
            model(some_images(1))

    with pytest.raises(FaultbenchError, match=r"^inject: faults were lost, .*: 4\.weight; the model must run"):
        run()
    assert same_bits(model[4].weight, kept)
