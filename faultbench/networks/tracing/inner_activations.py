"""Activations that run inside one call of a graph, where no bound can reach them."""

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from torch import fx, nn

from faultbench.networks.dispatch_mode import PlainDispatchMode
from faultbench.networks.tracing.elementwise import FLOORS

_OPERATIONS = {
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "elu": "ELU",
    "celu": "CELU",
    "leaky_relu": "LeakyReLU",
    "_prelu_kernel": "PReLU",
    "rrelu_with_noise": "RReLU",
    "softplus": "Softplus",
    "log_sigmoid_forward": "LogSigmoid",
    "threshold": "Threshold",
    "hardshrink": "Hardshrink",
    "softshrink": "Softshrink",
    "relu6": "ReLU6",
}
"""Operation of torch → the activation of torch.nn that it computes."""

_FROM_ZERO = {"clamp": "ReLU", "clamp_min": "ReLU", "hardtanh": "ReLU6"}
"""Functions that are activations if their lower end is 0 → the activation."""

_KNOWN = (*FLOORS, nn.Hardtanh, nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)
"""Modules of torch that call such an operation, but are sites themselves or have an upper end."""


class ActivationWatch(PlainDispatchMode):
    """Recorder of the first activation without an upper end that runs inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = ""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = str(getattr(func, "__name__", "")).partition(".")[0].removesuffix("_")
        low = args[1] if len(args) > 1 else (kwargs or {}).get("min")
        begins_at_zero = isinstance(low, int | float) and low == 0 and (name != "clamp" or len(args) < 3)
        activation = _OPERATIONS.get(name) or (_FROM_ZERO.get(name, "") if begins_at_zero else "")
        self.activation = self.activation or activation
        return func(*args, **kwargs or {})


def may_hide(module: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node calls a module or a function under fx.wrap, which may call activations itself."""
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))) not in _KNOWN
    is_of_torch = str(getattr(node.target, "__module__", "")).startswith("torch.")
    return node.op == "call_function" and isinstance(node.target, FunctionType) and not is_of_torch
