"""Tracing of a user's classifier into a `Network`: checked first, and compared with the graph after each rewrite."""

import torch
from torch import Tensor, nn

from faultbench.networks.agreement.agreement import Agreement
from faultbench.networks.agreement.undisturbed import undisturbed
from faultbench.networks.memory_layout import lay_out
from faultbench.networks.network import Network
from faultbench.networks.outputs import require_logits
from faultbench.networks.stored.hidden_weights import require_reachable
from faultbench.networks.stored.reparametrised_weights import with_plain_weights
from faultbench.networks.stored.shared_memory import require_own_memory
from faultbench.networks.stored.stored_tensors import INTEGERS, mark_reads
from faultbench.networks.tracing.fx_tracer import refuse_scripted
from faultbench.networks.tracing.in_place_writes import without_writes
from faultbench.networks.tracing.layout_calls import keep_asked_layouts, views_as_reshapes
from faultbench.networks.tracing.lazy_modules import materialise
from faultbench.networks.tracing.observers import switch_observers_off
from faultbench.networks.tracing.opened_calls import naming_model, record_graph
from faultbench.networks.tracing.sites import activation_calls, give_sites
from faultbench.networks.tracing.symbolic_trace import first_line, place_of
from faultbench.system.errors import FaultbenchError


def trace(model: nn.Module, shape: tuple[int, int, int], images: Tensor | None = None) -> Network:
    """Trace a classifier of images of this shape (channels, height, width); the model is put into eval mode.

    The network shares the model's parameters, and lays some of them out anew (`memory_layout.lay_out`). images are a
    few real ones to compare both on, beside random ones. FaultbenchError when the model gives no logits for such
    images, when torch.fx cannot follow its control flow or records another function, when an image's logits depend on
    more than the image and the weights, or when it calls no activation that can be bounded.
    """
    _prepare(model, shape)
    with undisturbed(model):
        _refuse_unfit(model, shape)
        plain, computed = with_plain_weights(model, _run, torch.zeros(1, *shape))
        graph, rehearsal = record_graph(plain, shape)
    agreement = Agreement(model, plain, shape, images)
    mark_reads(graph, plain)
    with naming_model(model):
        without_writes(graph, rehearsal)
        views_as_reshapes(graph.graph)
        keep_asked_layouts(graph, shape)
    graph.recompile()
    agreement.require(graph, "as torch.fx records it")
    calls = activation_calls(graph, type(model).__name__)
    with torch.no_grad():
        lay_out(graph, shape)
    network = Network(graph, give_sites(graph, calls), computed)
    agreement.require(graph, "with a module of its own at every site", layout=torch.channels_last)
    if not any(item.kind != INTEGERS for item in network.parameters()):
        raise FaultbenchError(f"{type(model).__name__} keeps no parameters in memory, so there is nothing to hit")
    return network


def _prepare(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """Put a model into the state in which it is traced; FaultbenchError where its weights cannot be reached."""
    _put_into_eval_mode(model)
    materialise(model, shape)
    require_reachable(model)
    require_own_memory(model)
    refuse_scripted(model)
    switch_observers_off(model)


def _put_into_eval_mode(model: nn.Module) -> None:
    name = type(model).__name__
    try:
        model.eval()  # what an overridden one returns does not matter
    except Exception as error:  # a user's code may raise anything
        raise FaultbenchError(
            f"{name} cannot be put into eval mode: {first_line(error)}; give the module that it was made from"
        ) from error


def _run(model: nn.Module, images: Tensor) -> object:
    return model(images)


@torch.no_grad()
def _refuse_unfit(model: nn.Module, shape: tuple[int, int, int]) -> None:
    name, size = type(model).__name__, "×".join(map(str, shape))
    try:
        logits = model(torch.zeros(1, *shape))
    except Exception as error:  # a forward raises what it likes
        advice = "it must take one image too" if _runs(model, 2, shape) else "take another network, or other images"
        raise FaultbenchError(
            f"{name} fails on an image of {size}: {first_line(error)}; raised {place_of(error, model)}; {advice}"
        ) from error
    require_logits(logits, name, size)


def _runs(model: nn.Module, n_images: int, shape: tuple[int, int, int]) -> bool:
    try:
        model(torch.zeros(n_images, *shape))
    except Exception:  # noqa: BLE001 - a user's code may raise anything
        return False
    return True
