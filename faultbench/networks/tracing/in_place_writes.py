"""Removal of in-place writes from a graph, so that no value changes once it is computed.

Staged runs keep values of the golden run and continue from them: a call that changes a kept value would change the
golden run. So a call that writes is replaced by one that computes the same values in new memory, and every later read
of the written memory, through any view, reads these.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from faultbench.networks.tracing.copying_modules import OnCopy, item, with_part
from faultbench.networks.tracing.pure_twins import Twin, called, twin_of
from faultbench.networks.tracing.rehearsal import Rehearsal
from faultbench.networks.tracing.symbolic_trace import line_of
from faultbench.system.errors import FaultbenchError

_SLOT = "faultbench_writes"
_OF_FORWARD = "_tensor_constant"
"""Prefix of torch.fx's names for tensors that the forward creates; all others that a graph reads are the network's."""


def without_writes(module: fx.GraphModule, rehearsal: Rehearsal) -> None:
    """Replace each call that writes into a tensor by calls that compute the same values anew, in place.

    rehearsal is of this graph. A write through a view reaches the viewed tensor and every other view of it.
    FaultbenchError, with the line, if a parameter or buffer is written, or if a write cannot be followed. The caller
    recompiles the graph.
    """
    writes = _Writes(module, rehearsal)
    for node in list(module.graph.nodes):
        writes.take_out(node)
    writes.finish()
    _turn_flags_off(module)


def _turn_flags_off(module: fx.GraphModule) -> None:
    """Switch in-place flags off in calls that do not write here, such as dropout in eval mode, but could."""
    for node in module.graph.nodes:
        if node.op == "call_module" and getattr(layer := module.get_submodule(str(node.target)), "inplace", False):
            layer.inplace = False  # type: ignore[assignment]  # a flag of torch's modules
        elif node.op == "call_function" and (twin := twin_of(node)) is not None and twin.is_certain:
            _make(node, twin)


def _nodes_in(arguments: tuple[Any, Any]) -> list[fx.Node]:
    nodes: dict[fx.Node, None] = {}
    fx.node.map_arg(arguments, lambda node: nodes.setdefault(node))
    return list(nodes)


def _make(node: fx.Node, twin: Twin) -> None:
    node.target = twin.target
    node.args, node.kwargs = twin.arguments(node.args, dict(node.kwargs))


class _Writes:
    """Rewriting of a graph's nodes in their order, with the memory written so far and the node that holds it now.

    A tensor's memory is identified by its address in the rehearsal; the first tensor there is its base. Each write
    makes a new base, and a view that is read afterwards is taken again, of the new base.
    """

    def __init__(self, module: fx.GraphModule, rehearsal: Rehearsal) -> None:
        self._module, self._graph, self._seen = module, module.graph, rehearsal
        self._base: dict[int, fx.Node] = {}
        self._now: dict[int, fx.Node] = {}
        self._version: Counter[int] = Counter()
        self._born: dict[fx.Node, dict[int, int]] = {}
        """The versions of a node's memory when the node ran."""
        self._anew: dict[tuple[int, int, int], fx.Node] = {}
        """Token, memory and version → the node that gives the tensor at that version."""
        self._first: dict[int, fx.Node] = {}
        """Token → its first node."""
        self._reshaped: dict[int, fx.Node] = {}
        """Token → the node that gave the tensor another shape, under another token."""
        self._asked: dict[fx.Node, tuple[Any, Any]] = {}
        """Arguments as in the user's source; `_given` has the node that stands for each of them in the new graph."""
        self._given: dict[fx.Node, dict[fx.Node, fx.Node]] = {}
        self._gone: list[fx.Node] = []

    def take_out(self, node: fx.Node) -> None:
        """Make a node read the current values of its inputs, and write into none of them."""
        args, kwargs = self._asked[node] = fx.node.map_arg((node.args, node.kwargs), self._shaped)
        given = {other: self._current(other, node) for other in _nodes_in((args, kwargs))}
        self._given[node] = given
        if list(given.values()) != node.all_input_nodes:
            node.args = fx.node.map_arg(args, given.__getitem__)
            node.kwargs = fx.node.map_arg(kwargs, given.__getitem__)
        self._first.setdefault(self._seen.tokens[node], node)
        if isinstance(self._seen.values[node], Tensor):
            for memory in self._seen.storages[node]:
                self._base.setdefault(memory, node)
                self._now.setdefault(memory, node)
        self._born[node] = self._versions(node)
        if node in self._seen.reshaped:
            self._reshape(node)
        elif written := self._seen.written.get(node):
            self._write(node, [self._shaped(other) for other in written])

    def finish(self) -> None:
        """Erase the calls that were replaced by others."""
        for node in reversed(self._gone):
            if node.users:
                self._refuse(node)
            self._graph.erase_node(node)

    def _versions(self, node: fx.Node) -> dict[int, int]:
        return {memory: self._version[memory] for memory in self._seen.storages[node]}

    def _shaped(self, node: fx.Node) -> fx.Node:
        """Return the node that gave a tensor its current shape, as x.squeeze_() does."""
        while (later := self._reshaped.get(self._seen.tokens[node])) is not None:
            node = later
        return node

    def _current(self, node: fx.Node, reader: fx.Node) -> fx.Node:
        """Return the node that gives a node's value after the writes so far, for a reader."""
        stale = [memory for memory, version in self._versions(node).items() if self._born[node][memory] != version]
        if not stale:
            return node
        if len(stale) > 1:
            self._refuse(reader)
        key = (self._seen.tokens[node], stale[0], self._version[stale[0]])
        if key not in self._anew:
            self._anew[key] = self._taken_again(node, stale[0], reader)
        return self._anew[key]

    def _taken_again(self, node: fx.Node, memory: int, reader: fx.Node) -> fx.Node:
        if self._is_base(node, memory):
            return self._now[memory]
        first = self._first[self._seen.tokens[node]]
        if first is not node:
            return self._current(first, reader)
        viewed = self._viewed(node, memory, reader)
        again = {**self._given[node], viewed: self._current(viewed, reader)}
        args, kwargs = fx.node.map_arg(self._asked[node], again.__getitem__)
        with self._graph.inserting_before(reader):
            again_node = self._graph.create_node(node.op, node.target, args, kwargs)
        again_node.meta = dict(node.meta)
        return again_node

    def _is_base(self, node: fx.Node, memory: int) -> bool:
        return self._seen.tokens[node] == self._seen.tokens[self._base[memory]]

    def _viewed(self, node: fx.Node, memory: int, reader: fx.Node) -> fx.Node:
        """Return the input that a node is a view of."""
        viewed = [other for other in self._given[node] if memory in self._seen.storages[other]]
        if len(viewed) != 1:
            self._refuse(reader)
        return viewed[0]

    def _reshape(self, node: fx.Node) -> None:
        """Follow a call that gives its input another shape: every holder of the tensor has that shape from here on."""
        twin = self._seen.twins.get(node)
        args, kwargs = self._asked[node]
        asked = kwargs.get("out", args[0])
        if twin is None or not isinstance(asked, fx.Node):
            self._refuse(node)
        _make(node, twin)
        self._reshaped[self._seen.tokens[asked]] = node

    def _write(self, node: fx.Node, written: Sequence[fx.Node]) -> None:
        after = node.next
        for other in written:
            self._refuse_state(other, node)
        for other, value in zip(written, self._values(node, written, after), strict=True):
            self._put(other, value, node, after)
        if node not in self._gone:
            self._born[node] = self._versions(node)

    def _values(self, node: fx.Node, written: Sequence[fx.Node], after: fx.Node) -> list[fx.Node]:
        """Return the nodes that compute anew the values that a call wrote."""
        if node.op == "call_module":
            if len(written) > 1 or not getattr(self._module.get_submodule(str(node.target)), "inplace", False):
                self._refuse(node)
            return [node]
        twin = self._seen.twins.get(node)
        if twin is not None and len(written) == 1:
            _make(node, twin)
            return [node]
        return self._on_copy(node, written, after)

    def _on_copy(self, node: fx.Node, written: Sequence[fx.Node], after: fx.Node) -> list[fx.Node]:
        leaves = tree_leaves((node.args, node.kwargs))
        given = [self._given[node][other] for other in written]
        if not all(now in leaves for now in given):
            self._refuse(node)
        self._gone.append(node)
        with self._graph.inserting_before(after):
            name = self._named(OnCopy(node.op, node.target, tuple(leaves.index(now) for now in given)))
            copies = self._graph.call_module(name, node.args, dict(node.kwargs))
            copies.meta = dict(node.meta)
            if len(written) == 1:
                return [copies]
            values = [self._graph.call_function(item, (copies, number)) for number in range(len(written))]
        for value in values:
            value.meta = dict(node.meta)
        return values

    def _put(self, other: fx.Node, value: fx.Node, node: fx.Node, after: fx.Node) -> None:
        """Record that the memory of an input holds a value from here on."""
        if not isinstance(self._seen.values[other], Tensor) or len(self._seen.storages[other]) != 1:
            self._refuse(node)
        (memory,) = self._seen.storages[other]
        if not self._is_base(other, memory):
            path = list(self._path(other, memory, node))[::-1]
            order = self._seen.orders[self._base[memory]]
            part, outside = with_part(self._module, order, path, self._asked, self._given)
            with self._graph.inserting_before(after):
                base = self._graph.call_module(self._named(part), (self._now[memory], value, *outside))
            base.meta = dict(node.meta)
        else:
            base = value
        self._version[memory] += 1
        self._now[memory] = base
        self._anew[self._seen.tokens[other], memory, self._version[memory]] = value

    def _path(self, node: fx.Node, memory: int, reader: fx.Node) -> Iterator[tuple[fx.Node, fx.Node]]:
        """Yield the views that lead from a tensor back to its base, each with the node that it is a view of."""
        while not self._is_base(node, memory):
            view = self._first[self._seen.tokens[node]]
            node = self._viewed(view, memory, reader)
            yield view, node

    def _named(self, module: Any) -> str:
        number = 0
        while hasattr(self._module, _SLOT) and hasattr(getattr(self._module, _SLOT), str(number)):
            number += 1
        self._module.add_submodule(f"{_SLOT}.{number}", module)
        return f"{_SLOT}.{number}"

    def _refuse_state(self, other: fx.Node, node: fx.Node) -> None:
        for memory in self._seen.storages[other]:
            base = self._base[memory]
            if base.op == "get_attr" and not str(base.target).rpartition(".")[2].startswith(_OF_FORWARD):
                raise FaultbenchError(
                    f"{called(node)} writes into {base.target}, {line_of(node)}; a trial must be a function of memory "
                    "and image, so that inference may change no parameter and no buffer: do it in train mode alone, or "
                    "on a copy"
                )

    def _refuse(self, node: fx.Node) -> NoReturn:
        raise FaultbenchError(
            f"{called(node)} writes into a tensor that other tensors share memory with, {line_of(node)}; this cannot "
            "be followed: make a new tensor instead, as torch.cat, torch.where or x = 2 * x do"
        )
