"""A model that torch.fx cannot follow is refused with the place that stopped it and what to do about it."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.tracing.fx_tracer import symbolic
from faultbench.networks.tracing.symbolic_trace import activations_called, first_line
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import SHAPE


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Counting(nn.Module):
    def forward(this, x: Tensor) -> Tensor:  # noqa: N805 - a name that no frame's `self` has
        return x * int(x.sum())


def looped(x: Tensor) -> Tensor:
    for image in x:
        x = x + image
    return x


class Looping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return looped(x)


@torch.fx.wrap
def summed(x: Tensor) -> Tensor:
    return looped(x)


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), start=1) if text in line)


@pytest.mark.parametrize(
    ("model", "source"),
    [
        (Branching, "return x if x.sum() > 0 else -x"),
        (Counting, "return x * int(x.sum())"),
        (Looping, "for image in x:"),
    ],
)
def test_the_module_and_the_line_that_stopped_it_are_told(model: Callable[[], nn.Module], source: str) -> None:
    whole = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(nn.ReLU(), model()))
    with pytest.raises(FaultbenchError) as caught:
        symbolic(whole, SHAPE)
    message = str(caught.value)
    assert message.startswith("Sequential cannot be traced by torch.fx: ")
    assert f"; stopped in 1.1 at {__file__}:{line_of(source)}: {source}; its forward must not branch" in message
    assert "use torch.where, or put the step into a function" in message
    assert "See the torch.fx docs" not in message
    assert "\n" not in message


class Hiding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(6, 6)]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


def patched() -> nn.Module:
    """A copy, whose method is still that of the layer it was copied from."""
    layer = nn.Linear(6, 6)
    forward = layer.forward
    layer.forward = lambda x: F.relu(forward(x))  # type: ignore[method-assign]  # as users do
    return copy.deepcopy(nn.Sequential(layer))


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (Hiding, "must be an attribute of the network, or in an nn.ModuleList"),
        (patched, "derive a class instead of replacing the method"),
    ],
)
def test_what_branches_on_nothing_is_not_told_to_leave_branches_out(
    build: Callable[[], nn.Module], advice: str
) -> None:
    model = build()
    with pytest.raises(FaultbenchError) as caught:
        symbolic(model, SHAPE, list(model.children()))
    assert advice in str(caught.value)
    assert "must not branch" not in str(caught.value)


def test_a_model_that_stops_in_its_own_forward_is_told_so() -> None:
    with pytest.raises(FaultbenchError, match=f"; stopped in the model itself at {re.escape(__file__)}:"):
        symbolic(Branching(), SHAPE)


def test_a_source_that_is_not_at_hand_leaves_file_and_line() -> None:
    scope: dict[str, type[nn.Module]] = {}
    code = "class Made(nn.Module):\n    def forward(self, x):\n        return x if x.sum() > 0 else -x\n"
    exec(compile(code, "<made>", "exec"), {"nn": nn}, scope)
    with pytest.raises(FaultbenchError, match=r"stopped in the model itself at <made>:3: ; its forward"):
        symbolic(scope["Made"](), SHAPE)


def test_a_function_under_wrap_is_not_followed() -> None:
    class Wrapped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return summed(x)

    graph = symbolic(Wrapped(), SHAPE)
    assert [node.target for node in graph.graph.nodes if node.op == "call_function"] == [summed]
    assert torch.equal(graph(torch.ones(2, 3)), torch.full((2, 3), 3.0))


def test_activations_are_counted_however_they_are_called() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gelu, self.leaky = nn.GELU(), nn.LeakyReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = F.leaky_relu(self.leaky(self.gelu(x)))
            return F.softmax(torch.tanh(x).sigmoid() + F.leaky_relu(x), dim=0)

    assert activations_called(symbolic(Many(), SHAPE)) == "LeakyReLU 3×, GELU 1×, Tanh 1×, Sigmoid 1×"
    assert activations_called(symbolic(nn.Flatten(), SHAPE)) == "no activation of torch"


def test_the_first_line_of_an_error_is_its_class_where_it_has_no_text() -> None:
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(AssertionError()) == "AssertionError"
