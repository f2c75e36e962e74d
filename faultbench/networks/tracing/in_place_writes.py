"""Taking in-place operations out of a graph, so that no value changes once it is made."""

import inspect
import operator
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


def without_writes(module: fx.GraphModule) -> None:
    """Replace each in-place operation of a module's graph by one that makes the same values anew.

    Knows torch's own: operators, methods and functions that end in an underscore, functions with `inplace`, and
    modules with that flag, which is turned off. What a module of somebody's own does inside is its own affair.
    Whoever calls this recompiles.
    """
    for node in [node for node in module.graph.nodes if _writes(module, node)]:
        # Whoever reads the input after an in-place operation saw its result.
        node.all_input_nodes[0].replace_all_uses_with(node, delete_user_cb=lambda user, node=node: node < user)
        _make_pure(module, node)


def _writes(module: fx.GraphModule, node: fx.Node) -> bool:
    match node.op:
        case "call_module":
            return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
        case "call_function":
            return _pure_function(node) is not None or bool(_arguments(node).get("inplace", False))
        case "call_method":
            return _is_in_place(str(node.target))
    return False


def _make_pure(module: fx.GraphModule, node: fx.Node) -> None:
    if node.op == "call_module":
        module.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]  # a flag of torch's modules
    elif node.op == "call_method":
        node.target = str(node.target)[:-1]
    elif (pure := _pure_function(node)) is not None:
        node.target = pure
    else:
        node.args, node.kwargs = (), {**_arguments(node), "inplace": False}


def _pure_function(node: fx.Node) -> Callable[..., Any] | None:
    """What makes the same values as the in-place function that a node calls; None for another."""
    if node.target in _OPERATORS:
        return _OPERATORS[node.target]
    name = getattr(node.target, "__name__", "")
    if not _is_in_place(name):
        return None
    found: Callable[..., Any] | None = getattr(F, name[:-1], None) or getattr(torch, name[:-1], None)
    return found


def _is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments of a function of Python's by name; torch's own in C++ tell no names, and never take `inplace`."""
    if not isinstance(node.target, FunctionType):
        return {}
    return dict(inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments)
