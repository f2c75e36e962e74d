"""Tensors of a model that share memory without being one tensor: every bit must have one owner."""

from collections.abc import Mapping
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faultbench.system.errors import FaultbenchError


def require_own_memory(model: nn.Module) -> None:
    """Raise FaultbenchError when two parameters or buffers of the model share memory, but are two tensors.

    A copy of such a model, and one in another memory layout, holds the shared values twice: a fault in the one tensor
    would not reach the other. One parameter under two names stays one, and is accepted.
    """
    if names := _first_overlap(dict(chain(model.named_parameters(), model.named_buffers()))):
        raise FaultbenchError(
            f"{type(model).__name__}: {names[0]} and {names[1]} share memory, but are two tensors; let both be one "
            "nn.Parameter, or give each its own memory with .clone()"
        )


def _first_overlap(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the names of two tensors that have a byte in common, in order of their names in the model."""
    strided = {name: tensor for name, tensor in tensors.items() if _has_memory(tensor)}
    order = {name: number for number, name in enumerate(strided)}
    open_spans: list[tuple[int, str]] = []
    for name in sorted(strided, key=lambda name: strided[name].data_ptr()):
        tensor = strided[name]
        open_spans = [(stop, other) for stop, other in open_spans if stop > tensor.data_ptr()]
        for _, other in open_spans:
            if tensor.device == strided[other].device and _share_a_byte(tensor, strided[other]):
                first, second = sorted((name, other), key=order.__getitem__)
                return first, second
        open_spans.append((_stop(tensor), name))
    return None


def _has_memory(tensor: Tensor) -> bool:
    is_plain = tensor.layout == torch.strided and tensor.device.type != "meta"
    return is_plain and not nn.parameter.is_lazy(tensor) and tensor.numel() > 0 and tensor.data_ptr() != 0


def _stop(tensor: Tensor) -> int:
    """Return the address behind the last byte of a tensor."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr() + (last + 1) * tensor.element_size()


def _share_a_byte(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors whose spans of addresses meet have a byte in common; columns may interleave."""
    return bool(np.intersect1d(_bytes_of(a), _bytes_of(b)).size)


def _bytes_of(tensor: Tensor) -> NDArray[np.int64]:
    """Return the addresses of all bytes of a tensor."""
    starts = np.array([tensor.data_ptr()], dtype=np.int64)
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        steps = np.arange(size, dtype=np.int64) * stride * tensor.element_size()
        starts = (starts[:, None] + steps).reshape(-1)
    return (starts[:, None] + np.arange(tensor.element_size())).reshape(-1)
