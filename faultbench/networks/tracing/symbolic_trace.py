"""A model as torch.fx follows it, or where and why it could not be followed."""

import linecache
import os
import traceback
from collections import Counter
from pathlib import Path

import torch
from torch import fx, nn

from faultbench.system.errors import FaultbenchError

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
"""What holds weights that lie in memory."""

ATTENTION = (nn.MultiheadAttention,)
"""Layers too, with weights of several kinds; torch.fx takes each as one call."""

READ_FROM_LAYER = "read_from_layer"
"""Key of a node's meta: whether it reads a layer's parameter without calling it, as Swin does with its attention's."""

_OPAQUE = (
    *(nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.RNNBase, nn.RNNCellBase),
)
"""One call to torch.fx, though activations and weights are inside."""

_ACTIVATIONS = {
    name.lower(): name
    for name in nn.modules.activation.__all__
    if "oftm" not in name and name not in ("MultiheadAttention", "Threshold")
}
"""torch's activations, softmax and its kin aside, by their names in lower case."""

_TORCH = f"{Path(torch.__file__).parent}{os.sep}"
_LONGEST_LINE = 80


class _Tracer(fx.Tracer):
    """Takes every layer as one call, those of a model's own class too: their weights are what lies in memory."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LAYERS) or super().is_leaf_module(m, module_qualified_name)


def symbolic(model: nn.Module) -> fx.GraphModule:
    """The graph of a model that is known to run on a tensor; it shares the model's parameters.

    FaultbenchError with the module and the line of source that torch.fx cannot follow.
    """
    try:
        graph = fx.GraphModule(model, _Tracer().trace(model), type(model).__name__)
    # The model ran on a tensor just now: whatever it raises on a proxy, it is the proxy that it cannot take.
    except (TypeError, ValueError, RuntimeError, AttributeError, LookupError, AssertionError) as error:
        raise FaultbenchError(
            f"{type(model).__name__} cannot be traced by torch.fx: {first_line(error)}; "
            f"stopped {_place(error, model)}; its forward must not branch on the values of tensors, nor turn them into "
            "numbers: use torch.where, or put the step into a function of its own under torch.fx.wrap"
        ) from error
    _refuse_opaque(graph, model)
    for node in graph.graph.nodes:
        if node.op == "get_attr":  # of the module that it is read from the graph keeps this parameter alone
            owner = model.get_submodule(str(node.target).rpartition(".")[0])
            node.meta[READ_FROM_LAYER] = isinstance(owner, LAYERS)
    return graph


def _refuse_opaque(graph: fx.GraphModule, model: nn.Module) -> None:
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(module := graph.get_submodule(str(node.target)), _OPAQUE):
            raise FaultbenchError(
                f"{type(model).__name__}: {node.target} is one {type(module).__name__} to torch.fx, with weights "
                "and activations inside that cannot be reached; write it with linear layers and nn.MultiheadAttention"
            )


def activations_called(graph: fx.GraphModule) -> str:
    """Which activations of torch the graph calls, as modules, functions or methods, and how often each."""
    names = (_called(graph, node).replace("_", "").lower() for node in graph.graph.nodes)
    counted = Counter(_ACTIVATIONS[name] for name in names if name in _ACTIVATIONS)
    return ", ".join(f"{name} {n}×" for name, n in counted.most_common()) or "no activation of torch"


def first_line(error: Exception) -> str:
    """The first line of an error's text; its class where it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _called(graph: fx.GraphModule, node: fx.Node) -> str:
    match node.op:
        case "call_module":
            return type(graph.get_submodule(str(node.target))).__name__
        case "call_function":
            return getattr(node.target, "__name__", "")
        case _:
            return str(node.target)


def _place(error: Exception, model: nn.Module) -> str:
    """The innermost module, and the last line outside torch, that ran when the error was raised."""
    paths = {id(module): path for path, module in model.named_modules()}
    path, line = "", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        path = paths.get(id(frame.f_locals.get("self")), path)
        file = frame.f_code.co_filename
        if not file.startswith(_TORCH):
            line = f"{file}:{number}: {linecache.getline(file, number).strip()[:_LONGEST_LINE]}"
    return f"in {path or 'the model itself'} at {line}"
