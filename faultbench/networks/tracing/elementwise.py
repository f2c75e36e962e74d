"""Element-wise activations of a graph: their lowest values, and bounds behind them.

An activation whose own range is bounded (Sigmoid, Hardsigmoid, Tanh, Hardtanh, Softsign: the gates of today's
networks) needs no bound and is no site. Activations written out by hand, as x * sigmoid(x), are not recognised,
and neither are those in place: `in_place` takes these out of a graph first.
"""

import math
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

FLOORS: dict[type[nn.Module], float] = {
    nn.ReLU: 0.0,
    nn.ReLU6: 0.0,
    nn.Softplus: 0.0,
    nn.GELU: -0.16997125,
    nn.SiLU: -0.27846455,
    nn.Mish: -0.30884287,
    nn.Hardswish: -0.375,
    nn.SELU: -1.75809935,
    nn.ELU: -1.0,
    nn.CELU: -1.0,
    **dict.fromkeys((nn.LeakyReLU, nn.PReLU, nn.RReLU), -math.inf),
    **dict.fromkeys((nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.LogSigmoid, nn.Threshold), -math.inf),
}
"""Activation of torch → the lowest value it gives; for ELU and CELU in units of their alpha."""

_SLACK = 1.001
"""Factor on the floor, since rounding may carry a value below it, or alpha to another float32."""

_SNAKE = {nn.LeakyReLU: "leaky_relu", nn.LogSigmoid: "logsigmoid"}
_METHODS = {"relu": nn.ReLU, "prelu": nn.PReLU, "hardshrink": nn.Hardshrink}


def _functions() -> dict[Any, type[nn.Module]]:
    """Return the activation module of every activation function."""
    kinds: dict[Any, type[nn.Module]] = {}
    for kind in FLOORS:
        name = _SNAKE.get(kind, kind.__name__.lower())
        kinds |= {getattr(space, name): kind for space in (F, torch) if hasattr(space, name)}
    return kinds


_FUNCTIONS = _functions()


FLOATING = "floating"
"""Key of a node's meta: whether its value is a floating-point tensor."""

_CLAMPS = ("clamp", "clamp_min", "clip")


def _is_clamp_from_zero(node: fx.Node) -> bool:
    """Return whether a node clamps numbers at 0 from below and nowhere else, as a ReLU does."""
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    if node.op not in ("call_method", "call_function") or name not in _CLAMPS or not node.meta.get(FLOATING):
        return False
    low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min")
    high = node.args[2] if len(node.args) > 2 else node.kwargs.get("max")
    return isinstance(low, int | float) and low == 0 and high is None


def activation_of(graph: fx.GraphModule, node: fx.Node) -> type[nn.Module] | None:
    """Return the activation without an upper end that a node calls, as module, function or method; else None."""
    if node.op == "call_module":
        kind = type(graph.get_submodule(str(node.target)))
        return kind if kind in FLOORS else None
    if _is_clamp_from_zero(node):
        return nn.ReLU
    kinds: dict[Any, type[nn.Module]] = {"call_function": _FUNCTIONS, "call_method": _METHODS}.get(node.op, {})
    return kinds.get(node.target)


def floor_of(graph: fx.GraphModule, node: fx.Node) -> float:
    """Return a value below which the activation that a node calls never goes; −inf if there is none."""
    kind = activation_of(graph, node)
    assert kind is not None
    if kind not in (nn.ELU, nn.CELU):
        return FLOORS[kind] * _SLACK
    alpha: object = node.kwargs.get("alpha", node.args[1] if len(node.args) > 1 else 1.0)
    if node.op == "call_module":
        alpha = graph.get_submodule(str(node.target)).alpha
    return min(-alpha, 0.0) * _SLACK if isinstance(alpha, int | float) else -math.inf


def input_of(node: fx.Node) -> fx.Node:
    """Return the input of an activation call."""
    return node.args[0] if node.args else node.kwargs["input"]  # type: ignore[return-value]  # a tensor


class BehindActivation(nn.Module):
    """Site behind an activation that stays; the module that a scheme installs there sees values as behind a ReLU.

    Schemes bound from above, and treat negative values as 0. Behind a GELU and similar activations, negative values
    down to a floor are the network's own: they pass unchanged, and the scheme handles all other values, including NaN
    and ±Inf. Behind an activation without a floor, such as LeakyReLU, the scheme bounds the magnitude and the sign
    stays, so that faults are caught on both sides. Until a scheme installs a module, every value passes bit for bit.
    """

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.inner: nn.Module = nn.Identity()
        self.floor = floor

    def forward(self, y: Tensor) -> Tensor:
        """Return bounded values, element by element; y is not changed."""
        if self.floor == 0 or isinstance(self.inner, nn.Identity):
            return self.inner(y)  # type: ignore[no-any-return]  # modules are untyped
        if self.floor == -math.inf:
            return torch.copysign(self.inner(y.abs()), y)
        return torch.where((y >= self.floor) & (y <= 0), y, self.inner(y))
