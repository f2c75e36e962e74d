"""Element-wise activations as a graph calls them: how low their values go, and bounding what they give.

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
"""Rounding may carry a value below the floor as calculated, or alpha into another float32."""

_SNAKE = {nn.LeakyReLU: "leaky_relu", nn.LogSigmoid: "logsigmoid"}
_METHODS = {"relu": nn.ReLU, "prelu": nn.PReLU, "hardshrink": nn.Hardshrink}


def _functions() -> dict[Any, type[nn.Module]]:
    """Function → its activation."""
    found: dict[Any, type[nn.Module]] = {}
    for kind in FLOORS:
        name = _SNAKE.get(kind, kind.__name__.lower())
        found |= {getattr(space, name): kind for space in (F, torch) if hasattr(space, name)}
    return found


_FUNCTIONS = _functions()


def activation_of(graph: fx.GraphModule, node: fx.Node) -> type[nn.Module] | None:
    """The activation without an upper end that a node calls, as a module, function or method; None for another."""
    if node.op == "call_module":
        kind = type(graph.get_submodule(str(node.target)))
        return kind if kind in FLOORS else None
    found: dict[Any, type[nn.Module]] = {"call_function": _FUNCTIONS, "call_method": _METHODS}.get(node.op, {})
    return found.get(node.target)


def floor_of(graph: fx.GraphModule, node: fx.Node) -> float:
    """A value that the activation called never goes below, −inf where there is none; the node must call one."""
    kind = activation_of(graph, node)
    assert kind is not None
    if kind not in (nn.ELU, nn.CELU):
        return FLOORS[kind] * _SLACK
    alpha: object = node.kwargs.get("alpha", node.args[1] if len(node.args) > 1 else 1.0)
    if node.op == "call_module":
        alpha = graph.get_submodule(str(node.target)).alpha
    return min(-alpha, 0.0) * _SLACK if isinstance(alpha, int | float) else -math.inf


def input_of(node: fx.Node) -> fx.Node:
    """What an activation is called with."""
    return node.args[0] if node.args else node.kwargs["input"]  # type: ignore[return-value]  # a tensor


class BehindActivation(nn.Module):
    """A site behind an activation that stays: what a scheme installs there, shown values as a ReLU would give them.

    Schemes bound from above, and take what is negative for 0. Behind a GELU and its like negative values down to
    a floor are the network's own: they pass as they are, and the scheme answers the others, NaN and ±Inf among
    them. Behind an activation that has no floor, as LeakyReLU, the scheme bounds the magnitude and the sign stays,
    so that faults are met on both sides. Until a scheme installs something everything passes, bit for bit.
    """

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.inner: nn.Module = nn.Identity()
        self.floor = floor

    def forward(self, y: Tensor) -> Tensor:
        """Element by element; y is not changed."""
        if self.floor == 0 or isinstance(self.inner, nn.Identity):
            return self.inner(y)  # type: ignore[no-any-return]  # modules are untyped
        if self.floor == -math.inf:
            return torch.copysign(self.inner(y.abs()), y)
        return torch.where((y >= self.floor) & (y <= 0), y, self.inner(y))
