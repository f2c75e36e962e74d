"""Memory that a network reads and writes while it runs: proof that faults there have an effect."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves

from faultbench.networks.dispatch_mode import PlainDispatchMode

_TRIES = 3


class Span(NamedTuple):
    """Piece of memory that an operation uses: first address, address behind the last, and whether it is written."""

    start: int
    stop: int
    writes: bool


class Reads(PlainDispatchMode):
    """Recorder of the memory of every tensor that an operation of torch reads or writes inside the block.

    An operation that only changes a tensor's shape, such as `view`, reads nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._spans: set[Span] = set()

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note the memory of an operation's arguments, and run it."""
        given = {} if kwargs is None else kwargs
        self._spans.update(_spans(func, args, given))
        return func(*args, **given)

    def fate_of(self, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
        """Return the names of tensors that nothing read, and of tensors that something wrote."""
        read, written = _table(self._spans, writes=False), _table(self._spans, writes=True)
        unread = [name for name, tensor in tensors.items() if not _meets(read, tensor)]
        return unread, [name for name, tensor in tensors.items() if _meets(written, tensor)]


@torch.no_grad()
def unfelt_tensors(
    network: Callable[[Tensor], Tensor], images: Tensor, tensors: Mapping[str, Tensor]
) -> dict[str, str]:
    """Return the tensors in which a changed bit has no effect on inference, each with the reason.

    Every operation is watched in a pass over the images. A tensor that no operation reads, because code outside torch
    does, must change the logits when it is changed.
    """
    network(images)  # what is computed once and kept is not computed in the next pass
    before = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    with Reads() as reads:
        network(images)
    unread, written = reads.fate_of(tensors)
    moved = [name for name, tensor in tensors.items() if tensor.data_ptr() != before[name]]
    reasons = dict.fromkeys((*written, *moved), "is overwritten while the network runs")
    for name in unread:
        if name not in reasons and tensors[name].numel() and not _is_felt(network, images, tensors[name]):
            reasons[name] = "is never read"
    return reasons


def _is_felt(network: Callable[[Tensor], Tensor], images: Tensor, tensor: Tensor) -> bool:
    golden, kept = network(images), tensor.detach().clone()
    try:
        for step in range(1, _TRIES + 1):
            tensor.copy_(-kept * step - 0.1 * step)
            if not torch.equal(network(images), golden):
                return True
            tensor.copy_(kept)
    finally:
        tensor.copy_(kept)
    return False


def _spans(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Span]:
    schema = getattr(func, "_schema", None)
    if schema is None:  # an operation of higher order
        yield from (span for tensor in tree_leaves((args, dict(kwargs))) for span in _span(tensor, writes=False))
        return
    only_views = any(value.alias_info is not None and not value.alias_info.is_write for value in schema.returns)
    for place, argument in enumerate(schema.arguments):
        given = args[place] if place < len(args) else kwargs.get(argument.name)
        writes = argument.alias_info is not None and argument.alias_info.is_write
        if writes or not only_views:
            yield from (span for tensor in tree_leaves(given) for span in _span(tensor, writes=writes))


def _span(tensor: Any, *, writes: bool) -> Iterator[Span]:
    if isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.numel() and tensor.data_ptr():
        yield Span(*_ends(tensor), writes)


def _ends(tensor: Tensor) -> tuple[int, int]:
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size()


def _table(spans: Iterable[Span], *, writes: bool) -> NDArray[np.int64]:
    rows = [(span.start, span.stop) for span in spans if span.writes == writes]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _meets(table: NDArray[np.int64], tensor: Tensor) -> bool:
    if not tensor.numel():
        return False
    start, stop = _ends(tensor)
    return bool(((table[:, 0] < stop) & (table[:, 1] > start)).any())
