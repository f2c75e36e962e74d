"""A network as a row of steps, so that a run can begin at any of them from values kept of an earlier run."""

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from typing import Any

from torch import Tensor, fx, nn

from faultbench.networks.network import Network

Values = Mapping[str, Any]
"""What nodes of the graph gave, by their names: tensors, and what is read off their shapes."""


class StagedNetwork:
    """The steps of a network in order of execution; begun at any of them, it computes what the whole run would.

    A step is one call of the graph. It shares the network's modules, so that what is installed at a site, or
    injected into a parameter, is felt here as well.
    """

    def __init__(self, network: Network) -> None:
        self._root = network.graph
        self._graph = network.graph.graph
        self._programs: dict[tuple[int, tuple[str, ...]], Callable[..., Any]] = {}
        nodes = list(self._graph.nodes)
        self.steps: tuple[fx.Node, ...] = tuple(node for node in nodes if node.op.startswith("call_"))
        self.input: str = next(node.name for node in nodes if node.op == "placeholder")
        self.needed: tuple[tuple[str, ...], ...] = self._live()

    @cached_property
    def readers(self) -> Mapping[int, tuple[int, ...]]:
        """Address of a parameter's memory → the steps that read it, ascending."""
        found: dict[int, list[int]] = {}
        for index, node in enumerate(self.steps):
            for address in {tensor.data_ptr() for tensor in self._read_by(node)}:
                found.setdefault(address, []).append(index)
        return {address: tuple(steps) for address, steps in found.items()}

    def module(self, step: int) -> nn.Module | None:
        """The module that a step calls; None for a function or a method."""
        node = self.steps[step]
        return self._root.get_submodule(str(node.target)) if node.op == "call_module" else None

    def step_of(self, target: str) -> int:
        """The first step that calls a submodule of this name; ValueError where none does."""
        return [str(node.target) if node.op == "call_module" else None for node in self.steps].index(target)

    def next_layers(self, sites: Collection[int]) -> list[int]:
        """For every step, and the end, the first one from it on that reads a matrix or filters but is no site."""
        layers = {
            step
            for step, node in enumerate(self.steps)
            if step not in sites and any(tensor.dim() > 1 for tensor in self._read_by(node))
        }
        places = (step if step in layers else len(self.steps) for step in reversed(range(len(self.steps) + 1)))
        return [*accumulate(places, min)][::-1]

    def resume(self, step: int, values: Values, keep: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Any]]:
        """The logits, and the values of the nodes in keep, when only the steps from this one on are run.

        values holds at least those that are needed there; step 0 needs the images alone.
        """
        logits, *kept = self._program(step, keep)(self._root, *(values[name] for name in self.needed[step]))
        return logits, dict(zip(keep, kept, strict=True))

    def until(self, end: int, step: int, values: Values) -> dict[str, Any]:
        """The values needed at end when the steps from this one up to it are run; values as for `resume`."""
        at = {name: values[name] for name in self.needed[step]}
        for index in range(step, end):
            at[self.steps[index].name] = self.apply(index, at)
            at = {name: at[name] for name in self.needed[index + 1]}
        return at

    def apply(self, step: int, values: Values) -> Any:
        """What one step makes of the values that it needs."""
        node = self.steps[step]
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda other: self._value(other, values))
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]  # a function's node holds the function
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return self._root.get_submodule(str(node.target))(*args, **kwargs)

    def walk(self, images: Tensor) -> Iterator[tuple[int, Values, Any]]:
        """Every step as it is done: its index, the values at hand and the one that it made.

        A value is let go once no later step reads it.
        """
        values: dict[str, Any] = {self.input: images}
        for step, node in enumerate(self.steps):
            made = self.apply(step, values)
            yield step, values, made
            values[node.name] = made
            values = {name: values[name] for name in self.needed[step + 1]}

    def reads(self, step: int) -> list[str]:
        """The names of the values that a step itself reads."""
        return _read(self.steps[step])

    def _value(self, node: fx.Node, values: Values) -> Any:
        return _attribute(self._root, node) if node.op == "get_attr" else values[node.name]

    def _live(self) -> tuple[tuple[str, ...], ...]:
        """For every step, and for the end, the names of the values made before it that are read from it on."""
        output = next(node for node in self._graph.nodes if node.op == "output")
        live: set[str] = set(_read(output))
        rows = [live]
        for node in reversed(self.steps):
            live = (live - {node.name}) | set(_read(node))
            rows.append(live)
        order = {node.name: place for place, node in enumerate(self._graph.nodes)}
        return tuple(tuple(sorted(names, key=order.__getitem__)) for names in reversed(rows))

    def _program(self, step: int, keep: tuple[str, ...]) -> Callable[..., Any]:
        if (step, keep) not in self._programs:
            self._programs[step, keep] = self._compiled(step, keep)
        return self._programs[step, keep]

    def _compiled(self, step: int, keep: tuple[str, ...]) -> Callable[..., Any]:
        """The steps from this one on as torch.fx's own Python code, to be called with the network for self."""
        graph = fx.Graph()
        made = {name: graph.placeholder(name) for name in self.needed[step]}

        def copied(node: fx.Node) -> fx.Node:
            if node.op == "get_attr" and node.name not in made:
                made[node.name] = graph.node_copy(node)
            return made[node.name]

        for node in self.steps[step:]:
            made[node.name] = graph.node_copy(node, copied)
        output = next(node for node in self._graph.nodes if node.op == "output")
        graph.output((copied(output.args[0]), *(made[name] for name in keep)))
        return type(fx.GraphModule(self._root, graph)).forward

    def _read_by(self, node: fx.Node) -> Iterator[Tensor]:
        if node.op == "call_module":
            module = self._root.get_submodule(str(node.target))
            yield from module.parameters()
            yield from module.buffers()
        for other in node.all_input_nodes:
            if other.op == "get_attr":
                yield _attribute(self._root, other)


def _read(node: fx.Node) -> list[str]:
    return [other.name for other in node.all_input_nodes if other.op != "get_attr"]


def _attribute(root: nn.Module, node: fx.Node) -> Any:
    return operator.attrgetter(str(node.target))(root)
