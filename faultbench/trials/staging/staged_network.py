"""Network as a sequence of steps, so that a run can begin at any step from values kept of an earlier run."""

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from typing import Any

from torch import Tensor, fx, nn

from faultbench.networks.network import Network

Values = Mapping[str, Any]
"""Outputs of graph nodes by node name: tensors, and numbers read from their shapes."""


class StagedNetwork:
    """Steps of a network in order of execution; a run begun at any of them gives what the whole run would give.

    A step is one call of the graph. The modules are the network's own, so a module installed at a site, or a flip in a
    parameter, takes effect here as well.
    """

    def __init__(self, network: Network) -> None:
        self._root = network.graph
        self._graph = network.graph.graph
        self._programs: dict[tuple[int, tuple[str, ...]], Callable[..., Any]] = {}
        nodes = list(self._graph.nodes)
        self.steps: tuple[fx.Node, ...] = tuple(node for node in nodes if node.op.startswith("call_"))
        self.input: str = next(node.name for node in nodes if node.op == "placeholder")
        self.output: str = next(node for node in nodes if node.op == "output").all_input_nodes[0].name
        self.needed: tuple[tuple[str, ...], ...] = self._live_values()

    @cached_property
    def readers(self) -> Mapping[int, tuple[int, ...]]:
        """Return the steps that read a parameter, ascending, by the address of its memory."""
        readers: dict[int, list[int]] = {}
        for index, node in enumerate(self.steps):
            for address in {tensor.data_ptr() for tensor in self._tensors_read(node)}:
                readers.setdefault(address, []).append(index)
        return {address: tuple(steps) for address, steps in readers.items()}

    def module(self, step: int) -> nn.Module | None:
        """Return the module that a step calls; None for a function or a method."""
        node = self.steps[step]
        return self._root.get_submodule(str(node.target)) if node.op == "call_module" else None

    def step_of(self, target: str) -> int:
        """Return the first step that calls a submodule of this name; ValueError if none does."""
        return [str(node.target) if node.op == "call_module" else None for node in self.steps].index(target)

    def next_layers(self, sites: Collection[int]) -> list[int]:
        """Return for each step, and the end, the next step that reads a matrix or filters and is no site.

        A step that is such a layer itself is its own next layer.
        """
        layers = {
            step
            for step, node in enumerate(self.steps)
            if step not in sites and any(tensor.dim() > 1 for tensor in self._tensors_read(node))
        }
        places = (step if step in layers else len(self.steps) for step in reversed(range(len(self.steps) + 1)))
        return [*accumulate(places, min)][::-1]

    def resume(self, step: int, values: Values, keep: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Any]]:
        """Run the steps from this one on; return the logits, and the values of the nodes in keep.

        values must hold those that are needed there; step 0 needs only the images.
        """
        logits, *kept = self._program(step, keep)(self._root, *(values[name] for name in self.needed[step]))
        return logits, dict(zip(keep, kept, strict=True))

    def run_until(self, end: int, step: int, values: Values) -> dict[str, Any]:
        """Run the steps from this one up to end; return the values needed there. values are as for `resume`."""
        at_hand = {name: values[name] for name in self.needed[step]}
        for index in range(step, end):
            at_hand[self.steps[index].name] = self.run_step(index, at_hand)
            at_hand = {name: at_hand[name] for name in self.needed[index + 1]}
        return at_hand

    def run_step(self, step: int, values: Values) -> Any:
        """Run one step on the values that it reads; return its output."""
        node = self.steps[step]
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda other: self._value(other, values))
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]  # a function's node holds the function
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return self._root.get_submodule(str(node.target))(*args, **kwargs)

    def walk(self, images: Tensor) -> Iterator[tuple[int, Values, Any]]:
        """Run all steps; yield for each its index, the values at hand and its output.

        A value is dropped once no later step reads it.
        """
        values: dict[str, Any] = {self.input: images}
        for step, node in enumerate(self.steps):
            output = self.run_step(step, values)
            yield step, values, output
            values[node.name] = output
            values = {name: values[name] for name in self.needed[step + 1]}

    def reads(self, step: int) -> list[str]:
        """Return the names of the values that a step itself reads."""
        return _names_read(self.steps[step])

    def _value(self, node: fx.Node, values: Values) -> Any:
        return _attribute(self._root, node) if node.op == "get_attr" else values[node.name]

    def _live_values(self) -> tuple[tuple[str, ...], ...]:
        """Return for each step, and for the end, the names of the earlier values that are read from there on."""
        output = next(node for node in self._graph.nodes if node.op == "output")
        live: set[str] = set(_names_read(output))
        rows = [live]
        for node in reversed(self.steps):
            live = (live - {node.name}) | set(_names_read(node))
            rows.append(live)
        order = {node.name: place for place, node in enumerate(self._graph.nodes)}
        return tuple(tuple(sorted(names, key=order.__getitem__)) for names in reversed(rows))

    def _program(self, step: int, keep: tuple[str, ...]) -> Callable[..., Any]:
        if (step, keep) not in self._programs:
            self._programs[step, keep] = self._compile(step, keep)
        return self._programs[step, keep]

    def _compile(self, step: int, keep: tuple[str, ...]) -> Callable[..., Any]:
        """Compile the steps from this one on to torch.fx's own Python code; call it with the network as self."""
        graph = fx.Graph()
        copies = {name: graph.placeholder(name) for name in self.needed[step]}

        def copy_of(node: fx.Node) -> fx.Node:
            if node.op == "get_attr" and node.name not in copies:
                copies[node.name] = graph.node_copy(node)
            return copies[node.name]

        for node in self.steps[step:]:
            copies[node.name] = graph.node_copy(node, copy_of)
        output = next(node for node in self._graph.nodes if node.op == "output")
        graph.output((copy_of(output.args[0]), *(copies[name] for name in keep)))
        return type(fx.GraphModule(self._root, graph)).forward

    def _tensors_read(self, node: fx.Node) -> Iterator[Tensor]:
        if node.op == "call_module":
            module = self._root.get_submodule(str(node.target))
            yield from module.parameters()
            yield from module.buffers()
        for other in node.all_input_nodes:
            if other.op == "get_attr":
                yield _attribute(self._root, other)


def _names_read(node: fx.Node) -> list[str]:
    return [other.name for other in node.all_input_nodes if other.op != "get_attr"]


def _attribute(root: nn.Module, node: fx.Node) -> Any:
    return operator.attrgetter(str(node.target))(root)
