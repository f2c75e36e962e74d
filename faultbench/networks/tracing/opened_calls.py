"""Recording of a model as a graph in which no activation without an upper end hides inside one call."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import fx, nn

from faultbench.networks.tracing.fx_tracer import symbolic
from faultbench.networks.tracing.pure_twins import called
from faultbench.networks.tracing.rehearsal import Rehearsal
from faultbench.networks.tracing.symbolic_trace import line_of
from faultbench.system.errors import FaultbenchError


def record_graph(model: nn.Module, shape: tuple[int, int, int]) -> tuple[fx.GraphModule, Rehearsal]:
    """Return the graph of a model that is known to run, and a rehearsal of it.

    torch.fx takes torch's layers and what is derived from them as one call each. Those in which an activation runs, by
    their own forward or by a hook, and those that write into their input, are followed. FaultbenchError where that
    cannot be done.
    """
    opened: dict[nn.Module, str] = {}
    while True:
        graph = _followed(model, shape, opened)
        with naming_model(model):
            rehearsal = Rehearsal(graph, shape)
        to_open = dict(_to_open(model, graph, rehearsal))
        if not to_open:
            return graph, rehearsal
        if again := to_open.keys() & opened.keys():
            raise FaultbenchError(f"{type(model).__name__}: {to_open[again.pop()]}; torch.fx takes it as one call")
        opened |= to_open


@contextmanager
def naming_model(model: nn.Module) -> Iterator[None]:
    """Put the model's class before the message of a FaultbenchError that is raised inside the block."""
    try:
        yield
    except FaultbenchError as error:
        raise FaultbenchError(f"{type(model).__name__}: {error}") from error


def _followed(model: nn.Module, shape: tuple[int, int, int], opened: dict[nn.Module, str]) -> fx.GraphModule:
    try:
        with torch.no_grad():  # or what is computed from parameters alone while tracing could not be copied
            return symbolic(model, shape, opened)
    except FaultbenchError as error:
        if not opened:
            raise
        reasons = "; ".join(opened.values())
        raise FaultbenchError(f"{error} (it is followed since {reasons})") from error


def _to_open(model: nn.Module, graph: fx.GraphModule, rehearsal: Rehearsal) -> Iterator[tuple[nn.Module, str]]:
    """Yield the modules that must be followed, each with the reason."""
    reasons = {node: f"{kind} runs inside of {_named(graph, node)}" for node, kind in rehearsal.hidden.items()}
    for node in rehearsal.written:
        if node.op == "call_module" and not getattr(graph.get_submodule(str(node.target)), "inplace", False):
            reasons.setdefault(node, f"{_named(graph, node)} writes into its input")
    for node, reason in reasons.items():
        if node.op != "call_module":
            raise FaultbenchError(
                f"{type(model).__name__}: {reason}, {line_of(node)}, where no bound can reach it; "
                "leave the activation out of what is under torch.fx.wrap"
            )
        yield model.get_submodule(str(node.target)), reason


def _named(graph: fx.GraphModule, node: fx.Node) -> str:
    if node.op != "call_module":
        return called(node)
    return f"{node.target} ({type(graph.get_submodule(str(node.target))).__name__})"
