"""Facts about a model that torch.fx records: its layers, the activations called, and the lines of source."""

import linecache
import os
import sys
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType

import torch
from torch import fx, nn

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers that hold weights in memory."""

ATTENTION = (nn.MultiheadAttention,)
"""Attention layers, with weights of several kinds; torch.fx takes each as one call."""

READ_FROM_LAYER = "read_from_layer"
"""Key of a node's meta: whether it reads a layer's parameter without calling the layer, as Swin's attention does."""

LINE = "line_of_source"
"""Key of a node's meta: the user's line that made it, as file:line: code; empty if there is none."""

_ACTIVATIONS = {
    name.lower(): name
    for name in nn.modules.activation.__all__
    if "oftm" not in name and name not in ("MultiheadAttention", "Threshold")
}
"""torch's activations except softmax and similar ones, by their names in lower case."""

_TORCH = f"{Path(torch.__file__).parent}{os.sep}"
_OURS = f"{Path(__file__).parents[2]}{os.sep}"
_MODELS = f"{_OURS}networks{os.sep}models{os.sep}"
_NOT_THEIRS = (_TORCH, f"{_OURS}networks{os.sep}")
"""Folders whose lines of source are not the model's; lines of our own models in `_MODELS` are."""

_LONGEST_LINE = 80


def activations_called(graph: fx.GraphModule) -> str:
    """Return the activations of torch that the graph calls as modules, functions or methods, with their numbers."""
    names = (_called(graph, node).replace("_", "").lower() for node in graph.graph.nodes)
    counted = Counter(_ACTIVATIONS[name] for name in names if name in _ACTIVATIONS)
    return ", ".join(f"{name} {n}×" for name, n in counted.most_common()) or "no activation of torch"


def line_of(node: fx.Node) -> str:
    """Return the user's line of source that made a node, with the module that it is in."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return f"in {(stack[-1][0] if stack else '') or 'the model itself'} at {node.meta.get(LINE) or 'no line known'}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its class if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _called(graph: fx.GraphModule, node: fx.Node) -> str:
    match node.op:
        case "call_module":
            return type(graph.get_submodule(str(node.target))).__name__
        case "call_function":
            return getattr(node.target, "__name__", "")
        case _:
            return str(node.target)


def line_here() -> str:
    """Return the innermost line being run that is neither torch's nor ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_TORCH, _OURS)):
        frame = frame.f_back
    return "" if frame is None else _quoted(frame.f_code.co_filename, frame.f_lineno)


def _quoted(file: str, number: int) -> str:
    return f"{file}:{number}: {linecache.getline(file, number).strip()[:_LONGEST_LINE]}"


def place_of(error: Exception, model: nn.Module) -> str:
    """Return the innermost module, and the last line outside torch, that ran when the error was raised."""
    paths = {id(module): path for path, module in model.named_modules()}
    path, line = "", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        path = paths.get(id(frame.f_locals.get("self")), path)
        file = frame.f_code.co_filename
        if file.startswith(_MODELS) or not file.startswith(_NOT_THEIRS):
            line = _quoted(file, number)
    return f"in {path or 'the model itself'}" + (f" at {line}" if line else "")
