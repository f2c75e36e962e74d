"""Checks of a network's output: it must be logits, one per class of the data set; made before anything long runs."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from faultbench.system.errors import FaultbenchError


def require_logits(output: object, name: str, size: str) -> Tensor:
    """Return the output of a network for one image of this size, which must be floating-point logits (1, n_classes).

    name is the network's class. FaultbenchError names what came instead, and what to do about it.
    """
    if not isinstance(output, Tensor):
        raise FaultbenchError(
            f"{name} gives {_what(output)} for one image of {size}; a classifier gives logits (1, n_classes): "
            f"wrap it in a module whose forward returns its logits alone{_choice(output)}"
        )
    if output.dim() != 2 or len(output) != 1:
        raise FaultbenchError(
            f"{name} gives {tuple(output.shape)} for one image of {size}; a classifier gives logits (1, n_classes)"
        )
    if not output.is_floating_point():
        raise FaultbenchError(
            f"{name} gives {_dtype(output)} for one image of {size}; a classifier gives floating-point logits: "
            "return the values of its last layer, not the class that they choose"
        )
    if output.shape[1] < 2:
        raise FaultbenchError(
            f"{name} gives {output.shape[1]} logit for one image of {size}, so that every image has the same top-1 "
            "class; give it one output per class (two for yes and no)"
        )
    return output


def require_classes(logits: Tensor, n_classes: int, title: str) -> None:
    """Raise FaultbenchError when logits [n, …] are of more or fewer classes than the data set has.

    A network with more logits puts images into classes that no label names; one with fewer is never right for some.
    """
    n_logits = logits.shape[1]
    if n_logits != n_classes:
        raise FaultbenchError(
            f"{title}: the network gives {n_logits:,} logits and the data set has {n_classes:,} classes; "
            f"build it with n_classes = {n_classes:,} outputs, or take a data set of {n_logits:,} classes"
        )


def _what(output: object) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} of {', '.join(map(repr, list(output)[:5])) or 'nothing'}"
    if isinstance(output, list | tuple):
        fields = getattr(output, "_fields", ())
        named = f" ({', '.join(fields[:5])})" if fields else ""
        return f"a {type(output).__name__} of {len(output)}{named}"
    return f"a {type(output).__name__}"


def _choice(output: object) -> str:
    """Return how to take logits out of an output, if an entry is a tensor of two dimensions; else an empty text."""
    for key, value in _entries(output):
        if isinstance(value, Tensor) and value.dim() == 2 and value.is_floating_point():
            return f", such as output[{key!r}] of shape {tuple(value.shape)}"
    return ""


def _entries(output: object) -> Iterable[tuple[object, object]]:
    if isinstance(output, Mapping):
        return output.items()
    return enumerate(output) if isinstance(output, list | tuple) else ()


def _dtype(output: Tensor) -> str:
    return str(output.dtype).removeprefix("torch.") + (" classes" if output.dtype is torch.int64 else " values")
