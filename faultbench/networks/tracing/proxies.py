"""Stand-ins for tensors while torch.fx follows a model: they record writes, and know sizes that no batch changes."""

import operator
from collections.abc import Callable, Iterable
from math import prod
from typing import TYPE_CHECKING, Any, SupportsIndex

import torch
from torch import Tensor, fx

from faultbench.networks.tracing.known_sizes import Sizes

if TYPE_CHECKING:
    from faultbench.networks.tracing.fx_tracer import ModelTracer

ASKED_SIZE = "asked_size"
"""Key of a node's meta: whether it gives a size that a forward asked for, and may not have used."""


class Shape(tuple[Any, ...]):
    """Shape of a tensor of which some sizes are numbers, and others stand-ins since they depend on the batch."""

    __slots__ = ()

    def numel(self) -> Any:
        """Return the product of all sizes."""
        return prod(self)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        chosen = super().__getitem__(index)
        return shape_of(chosen) if isinstance(index, slice) else chosen


def shape_of(sizes: Iterable[Any]) -> torch.Size | Shape:
    """Return sizes as torch has them, or as a `Shape` where not all of them are numbers."""
    sizes = tuple(sizes)
    return torch.Size(sizes) if all(isinstance(size, int) for size in sizes) else Shape(sizes)


class ValueProxy(fx.Proxy):
    """Stands for a value of the graph. Records x[i] = y and x += y, which change x itself.

    A size is a number where it is the same for every batch, and else a stand-in of its own, with which a forward may
    compute but not branch.
    """

    tracer: "ModelTracer"

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})

    @property
    def shape(self) -> Any:
        """The sizes of the tensor that this stands for."""
        recorded, sizes = fx.proxy.Attribute(self, "shape"), self._sizes()
        if sizes is None:
            return recorded
        return shape_of(_asked(recorded, axis) if size is None else size for axis, size in enumerate(sizes))

    @property
    def ndim(self) -> Any:
        """The number of axes of the tensor."""
        sizes = self._sizes()
        return fx.proxy.Attribute(self, "ndim") if sizes is None else len(sizes)

    def size(self, dim: Any = None) -> Any:
        """Return one size of the tensor, or all of them."""
        sizes = self._sizes()
        if dim is None:
            return self._recorded("size") if sizes is None else self.shape
        is_known = isinstance(dim, int) and sizes is not None and -len(sizes) <= dim < len(sizes)
        size = sizes[dim] if is_known and sizes is not None else None
        return self._recorded("size", dim) if size is None else size

    def dim(self) -> Any:
        """Return the number of axes of the tensor."""
        sizes = self._sizes()
        return self._recorded("dim") if sizes is None else len(sizes)

    def numel(self) -> Any:
        """Return the number of values of the tensor."""
        sizes = self._sizes()
        return self._recorded("numel") if sizes is None or None in sizes else shape_of(sizes).numel()

    ndimension, nelement = dim, numel

    def __len__(self) -> int:
        length = self.length()
        return super().__len__() if length is None else length

    def length(self) -> int | None:
        """Return the number of rows of a tensor, or of entries of a tuple, if it is the same for every batch."""
        return self.tracer.known.length_of(self.node)

    def _sizes(self) -> Sizes | None:
        return self.tracer.known.sizes_of(self.node)

    def _recorded(self, method: str, *args: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_method", method, (self, *args), {})


def _asked(shape: fx.Proxy, axis: int) -> fx.Proxy:
    size: fx.Proxy = shape[axis]  # type: ignore[index]  # torch adds what operators do when it is imported
    shape.node.meta[ASKED_SIZE] = size.node.meta[ASKED_SIZE] = True
    return size


def _recording(operation: Callable[..., Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def record(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})

    return record


for _operation in (
    *(operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod),
    *(operator.ipow, operator.imatmul, operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift),
):
    # Without these Python takes x = x + y for x += y, and what else holds x would not see the change.
    setattr(ValueProxy, f"__{_operation.__name__}__", _recording(_operation))


class StoredProxy(ValueProxy):
    """Stands for a parameter or a buffer, whose shape, type and device are known."""

    def __init__(self, node: fx.Node, tracer: "ModelTracer", tensor: Tensor) -> None:
        super().__init__(node, tracer)
        self.device, self.dtype = tensor.device, tensor.dtype
        self._shape = tuple(tensor.shape)

    def length(self) -> int | None:
        """Return the number of rows."""
        return self._shape[0] if self._shape else None

    def _sizes(self) -> Sizes | None:
        return self._shape
