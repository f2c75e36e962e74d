"""Modules that write into a copy of what they are given, for calls of a graph that wrote into the value itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten, tree_unflatten


class OnCopy(nn.Module):
    """Module that makes a call which writes into some of its arguments on copies of these, and returns the copies.

    written are the places of these arguments among all leaves of (args, kwargs). An argument that is given twice is
    copied once. The result is a tensor if one argument is written, and else a tuple.
    """

    def __init__(self, op: str, target: Any, written: tuple[int, ...]) -> None:
        super().__init__()
        self.op, self.target, self.written = op, target, written

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        """Make the call on copies, with the arguments of the original call."""
        leaves, form = tree_flatten((args, kwargs))
        copies = {id(leaves[place]): leaves[place].clone() for place in self.written}
        args, kwargs = tree_unflatten([copies.get(id(leaf), leaf) for leaf in leaves], form)
        if self.op == "call_method":
            getattr(args[0], self.target)(*args[1:], **kwargs)
        else:
            self.target(*args, **kwargs)
        written = tuple(copies[id(leaves[place])] for place in self.written)
        return written if len(written) > 1 else written[0]


def item(values: Sequence[Tensor], number: int) -> Tensor:
    """Return the value at an index."""
    return values[number]


def laid_out(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """Return a copy whose axes lie in memory in this order, the last axis densest."""
    back = sorted(range(len(order)), key=order.__getitem__)
    return x.permute(order).clone(memory_format=torch.contiguous_format).permute(back)


def order_of(x: Tensor) -> tuple[int, ...]:
    """Return the order in which a tensor's axes lie in memory, the last axis densest."""
    return tuple(sorted(range(x.dim()), key=lambda axis: (-x.stride()[axis], axis)))


def with_part(
    root: nn.Module,
    order: tuple[int, ...],
    path: Sequence[tuple[fx.Node, fx.Node]],
    asked: Mapping[fx.Node, tuple[Any, Any]],
    given: Mapping[fx.Node, Mapping[fx.Node, fx.Node]],
) -> tuple[fx.GraphModule, list[fx.Node]]:
    """Return a module that puts a value into a copy of a tensor, and the nodes that are its further arguments.

    path holds the nodes that lead from the tensor to the part that is written, each with the node that it is a view
    of; asked are their arguments, given the nodes that now stand for these. The copy's axes lie in this order, in which
    the views are views.
    """
    graph = fx.Graph()
    base, value = graph.placeholder("base"), graph.placeholder("value")
    others = dict.fromkeys(now for view, viewed in path for other, now in given[view].items() if other is not viewed)
    inside = {other: graph.placeholder(f"other_{number}") for number, other in enumerate(others)}
    whole = part = graph.call_function(laid_out, (base, order))
    for view, viewed in path:
        stands = {other: inside[now] for other, now in given[view].items() if other is not viewed} | {viewed: part}
        args, kwargs = fx.node.map_arg(asked[view], stands.__getitem__)
        part = graph.create_node(view.op, view.target, args, kwargs)
    graph.call_method("copy_", (part, value))
    graph.output(whole)
    return fx.GraphModule(root, graph, "WithPart"), list(others)
