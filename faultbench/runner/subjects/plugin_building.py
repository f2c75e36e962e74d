"""Plug-ins built from the choices of a subject, and models traced to networks."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faultbench.campaign import Choice, Subject
from faultbench.datasets import Dataset
from faultbench.networks.filter_layout import place_channels_last
from faultbench.networks.network import Network
from faultbench.networks.outputs import require_classes
from faultbench.networks.stored.shared_memory import require_own_memory
from faultbench.networks.tracing.lazy_modules import materialise
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError


def build(choice: Choice, **supplied: Any) -> Any:
    """Build the plug-in that a choice names from its options and from what faultbench supplies."""
    modules = () if choice.origin is None else (choice.origin,)
    return registry.build(choice.kind, choice.name, choice.options, modules, choice.folder, **supplied)


def source_of(choice: Choice) -> Path | None:
    """Return the file of a lab's plug-in; None for a plug-in of faultbench."""
    return None if choice.origin is None else choice.origin.file


def build_model(model: Choice, dataset: Dataset) -> nn.Module:
    """Build a model, whose weights are equal in every process; FaultbenchError if it does not take the images."""
    # What training does not initialise, such as embeddings of a transformer, must be equal in every process.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(model, shape=dataset.shape, n_classes=dataset.n_classes)
        if not isinstance(network, nn.Module):
            raise FaultbenchError(
                f"{model.label}: the plug-in of this model gives a {type(network).__name__}; "
                "it must return a torch.nn.Module"
            )
        materialise(network, dataset.shape)
        require_own_memory(network)
        return place_channels_last(network, dataset.shape)  # tracing changes layers that are faster row-major


@lru_cache(maxsize=1)
def untrained_network(dataset: Choice, model: Choice) -> Network:
    """Build and trace a model with arbitrary weights; FaultbenchError if its logits are not of the data's classes."""
    # One is kept: the schemes of a network come one after another, and initialising is slow.
    images: Dataset = build(dataset)
    network = build_model(model, images)
    title = f"{model.label} on {dataset.label}"
    traced = _trace(network, images.shape, title)
    with torch.inference_mode():
        require_classes(traced(torch.zeros(1, *images.shape)), images.n_classes, title)
    return traced


def trace_model(subject: Subject, model: nn.Module, pixels: Tensor) -> Network:
    """Trace a subject's model, its weights filled in; pixels are a few images to compare model and network on."""
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    return _trace(model, shape, f"{subject.model.label} on {subject.dataset.label}", pixels)


def _trace(model: nn.Module, shape: tuple[int, int, int], title: str, pixels: Tensor | None = None) -> Network:
    try:
        return trace(model, shape, pixels)
    except FaultbenchError as error:  # it names the network's class, which the campaign's file does not mention
        raise FaultbenchError(f"{title}: {error}") from error
