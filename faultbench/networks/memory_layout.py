"""Layout of a network in a processor's memory: channels-last, or row-major in layers where that is faster."""

from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

REORDERS = "reorders"
"""Key of a node's meta: whether it only brings a value into another order in memory."""

MANY_CHANNELS = 192
SMALL_MAP = 64
"""Convolutions with filters of 3×3 and more are faster row-major from MANY_CHANNELS channels on, if their maps have at
most SMALL_MAP pixels (docs/benchmarks)."""


def lay_out(graph: fx.GraphModule, shape: tuple[int, int, int]) -> None:
    """Make filters row-major where that is faster for images of this shape, in place; others stay as they are.

    If the input of such a layer is in another order, a step before the layer brings it into row-major order. Every
    node's meta gets the shape and layout of its value for one image, as torch.fx's ShapeProp puts them there.
    """
    layouts = _Layouts(graph)
    layouts.propagate(torch.zeros(1, *shape).contiguous(memory_format=torch.channels_last))
    reordered: dict[fx.Node, fx.Node] = {}
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and str(node.target) in layouts.row_major:
            value = node.all_input_nodes[0]
            if not is_row_major(value):
                if value not in reordered:
                    reordered[value] = _reordering(graph.graph, value)
                node.replace_input_with(value, reordered[value])


def is_row_major(node: fx.Node) -> bool:
    """Return whether the value of a node that is laid out is row-major, or in an order that equals row-major."""
    return bool(node.meta["tensor_meta"].memory_format == torch.contiguous_format)


def row_major_layers(graph: fx.GraphModule) -> list[str]:
    """Return the names of the convolutions whose filters are row-major and not channels-last as well."""
    modules = ((name, module) for name, module in graph.named_modules() if isinstance(module, nn.Conv2d))
    return [name for name, module in modules if not module.weight.is_contiguous(memory_format=torch.channels_last)]


def bounds_laid_out(bounds: Tensor, *, row_major: bool) -> Tensor:
    """Return a copy of bounds in the memory layout of the values that they bound; other layouts are slow to combine."""
    if row_major or bounds.dim() != 3:
        return bounds.clone(memory_format=torch.contiguous_format)
    return bounds.permute(1, 2, 0).clone(memory_format=torch.contiguous_format).permute(2, 0, 1)


class _Layouts(ShapeProp):
    """Pass over the graph that lays out each layer as is faster, and notes shapes and layouts."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.row_major: set[str] = set()

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().call_module(target, args, kwargs)
        layer = self.module.get_submodule(target)
        if not _is_faster_row_major(layer, value):
            return value
        layer.weight.data = layer.weight.data.contiguous()
        self.row_major.add(target)
        return value.contiguous()


def _is_faster_row_major(layer: nn.Module, value: Tensor) -> TypeGuard[nn.Conv2d]:
    # A class derived from it may compute something else.
    if type(layer) is not nn.Conv2d or layer.groups > 1 or min(layer.kernel_size) < 3:
        return False
    return layer.in_channels >= MANY_CHANNELS and value[0, 0].numel() <= SMALL_MAP


def _reordering(graph: fx.Graph, value: fx.Node) -> fx.Node:
    with graph.inserting_after(value):
        node = graph.call_method("contiguous", (value,))
    node.meta = {REORDERS: True}
    return node
