"""Calls of a graph whose result depends on how their input lies in memory, made independent of that."""

import torch
from torch import Tensor, fx

from faultbench.networks.tracing.copying_modules import laid_out
from faultbench.networks.tracing.pure_twins import called
from faultbench.networks.tracing.rehearsal import Rehearsal
from faultbench.networks.tracing.symbolic_trace import line_of
from faultbench.system.errors import FaultbenchError

_TELL_LAYOUT = {"stride", "is_contiguous", "storage_offset", "as_strided", "dim_order"}
_ANY_LAYOUT = {"view": "reshape", "view_as": "reshape_as"}


def views_as_reshapes(graph: fx.Graph) -> None:
    """Replace each `view` of another shape by `reshape`, which gives the same values in every memory layout.

    The caller recompiles the graph.
    """
    for node in graph.nodes:
        if node.op == "call_method" and node.target in _ANY_LAYOUT and not _is_of_dtype(node):
            node.target = _ANY_LAYOUT[node.target]
            if "size" in node.kwargs:  # reshape has another name for it
                node.args, node.kwargs = (*node.args, node.kwargs["size"]), {}


def keep_asked_layouts(module: fx.GraphModule, shape: tuple[int, int, int]) -> None:
    """Bring a value into its row-major run's order before each call that asks how it lies in memory.

    Row-major is the order of images as torch has them. FaultbenchError for a value that is a part of a larger one. The
    caller recompiles the graph.
    """
    asking = [node for node in module.graph.nodes if _asks(node)]
    seen = Rehearsal(module, shape) if asking else None
    for node in asking:
        value = node.all_input_nodes[0]
        assert seen is not None
        tensor = seen.values[value]
        if not isinstance(tensor, Tensor):
            continue
        _require_whole(node, tensor)
        with module.graph.inserting_before(node):
            node.replace_input_with(value, module.graph.call_function(laid_out, (value, seen.orders[value])))


def _require_whole(node: fx.Node, tensor: Tensor) -> None:
    if tensor.storage_offset() or tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
        raise FaultbenchError(
            f"{called(node)} asks how a part of a tensor lies in memory, {line_of(node)}; this depends on the "
            "layout that faultbench runs networks in: take the part by its indices, or a .clone() of it"
        )


def _asks(node: fx.Node) -> bool:
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    return node.op in ("call_method", "call_function") and name in _TELL_LAYOUT


def _is_of_dtype(node: fx.Node) -> bool:
    """Return whether a view keeps the shape and reads the same bits as values of another type."""
    given = (*node.args[1:], *node.kwargs.values())
    return any(isinstance(argument, torch.dtype) or _reads_dtype(argument) for argument in given)


def _reads_dtype(argument: object) -> bool:
    return isinstance(argument, fx.Node) and argument.target is getattr and "dtype" in argument.args
