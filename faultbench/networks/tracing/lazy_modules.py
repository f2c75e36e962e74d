"""Lazy modules of torch, such as LazyLinear, which get their sizes from the first images."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from faultbench.networks.tracing.symbolic_trace import first_line
from faultbench.system.errors import FaultbenchError


def materialise(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """Run the model once on an image of zeros if weights of it have no size yet, in eval mode; else do nothing.

    torch draws these weights from its own stream. FaultbenchError when the model does not take such images, or when
    weights have no size after the run.
    """
    if not _without_size(model):
        return
    size = "×".join(map(str, shape))
    _run_on_zeros(model, shape, size)
    if left := _without_size(model):
        raise FaultbenchError(
            f"{type(model).__name__}: {left[0]} has no size after a run on an image of {size}: its lazy module is not "
            "called there; leave it out, or give it its size"
        )


def _run_on_zeros(model: nn.Module, shape: tuple[int, int, int], size: str) -> None:
    training = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *shape))
    except Exception as error:
        raise FaultbenchError(
            f"{type(model).__name__} does not take images of {size}: {first_line(error)}; "
            "take another network, or other images"
        ) from error
    for module, was_training in training.items():
        module.training = was_training


def require_sizes(model: nn.Module) -> None:
    """Raise FaultbenchError when weights of the model have no size, and so no values, yet."""
    if left := _without_size(model):
        raise FaultbenchError(
            f"{type(model).__name__}: {left[0]} has no size yet, as its module is lazy; run the model on an image "
            "once, and train it or load its weights"
        )


def _without_size(model: nn.Module) -> list[str]:
    named = (*model.named_parameters(), *model.named_buffers())
    return [name for name, tensor in named if is_lazy(tensor)]
