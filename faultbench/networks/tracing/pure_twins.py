"""Pure twins of calls that write into a tensor: calls that compute the same values in new memory."""

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

_OPERATORS: dict[object, Callable[..., Any]] = {
    getattr(operator, f"i{name.strip('_')}"): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift", "xor")
} | {operator.iand: operator.and_, operator.ior: operator.or_}


@dataclass(frozen=True)
class Twin:
    """Call that computes values anew: of a function or, if op says so, of a tensor's method."""

    op: str
    target: Any
    by_name: bool = False
    """Whether the function takes `inplace` and gets its arguments by name."""
    is_certain: bool = False
    """Whether it computes the same whatever the arguments are, tensors or not."""

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the twin for those of the call that writes."""
        if self.by_name:
            return (), {**inspect.signature(self.target).bind(*args, **kwargs).arguments, "inplace": False}
        return args, {name: value for name, value in kwargs.items() if name != "out"}

    def compute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the twin's result for the arguments of the call that writes."""
        args, kwargs = self.arguments(args, kwargs)
        if self.op == "call_method":
            return getattr(args[0], self.target)(*args[1:], **kwargs)
        return self.target(*args, **kwargs)


def twin_of(node: fx.Node) -> Twin | None:
    """Return the likely twin of a node's call, or None if none is known.

    torch's names tell it: operators, methods and functions that end in an underscore, functions that take `inplace` or
    `out`. A name may mislead, as those of random numbers do, so the caller compares the twin's values.
    """
    if node.op == "call_method":
        name = str(node.target)
        is_known = _ends_in_place(name) and callable(getattr(Tensor, name[:-1], None))
        return Twin(node.op, name[:-1]) if is_known else None
    if node.op != "call_function":
        return None
    if "out" in node.kwargs:
        return Twin(node.op, node.target)
    if (pure := _pure_function(node.target)) is not None:
        return Twin(node.op, pure, is_certain=node.target in _OPERATORS)
    return (
        Twin(node.op, node.target, by_name=True, is_certain=True)
        if named_arguments(node).get("inplace", False)
        else None
    )


def written_first(node: fx.Node) -> bool:
    """Return whether a call's name or flag says that it writes into its first argument and no other."""
    if node.op == "call_module":
        return True
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    in_name = _ends_in_place(name) or node.target in (*_OPERATORS, operator.setitem)
    return in_name or bool(named_arguments(node).get("inplace", False))


def called(node: fx.Node) -> str:
    """Return the name of what a node calls, for a message."""
    return str(node.target) if node.op != "call_function" else getattr(node.target, "__name__", str(node.target))


def named_arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a Python function by name; torch's functions in C++ have no names and no `inplace`."""
    if not isinstance(node.target, FunctionType):
        return {}
    return dict(inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments)


def _pure_function(target: object) -> Callable[..., Any] | None:
    if target in _OPERATORS:
        return _OPERATORS[target]
    name = getattr(target, "__name__", "")
    if not _ends_in_place(name):
        return None
    function = getattr(F, name[:-1], None) or getattr(torch, name[:-1], None)
    return function if callable(function) else None


def _ends_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")
