"""Rehearsal of a graph on a few images, call by call: what each call gives, what it writes into, what it hides."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from faultbench.networks.tracing.copying_modules import order_of
from faultbench.networks.tracing.elementwise import FLOATING
from faultbench.networks.tracing.inner_activations import ActivationWatch, may_hide
from faultbench.networks.tracing.pure_twins import Twin, twin_of, written_first
from faultbench.networks.tracing.symbolic_trace import first_line, line_of
from faultbench.system.errors import FaultbenchError

N_IMAGES = 2
"""Images of the rehearsal: two, since with one image some calls give views that give copies for a batch."""


class Rehearsal:
    """Observations of every node of a graph in a run on random images, row-major as torch has them."""

    values: dict[fx.Node, Any]
    tokens: dict[fx.Node, int]
    """Numbers that are equal for nodes that give the same tensor in the same shape."""
    storages: dict[fx.Node, tuple[int, ...]]
    """Addresses of the memory of a node's value when it was computed."""
    orders: dict[fx.Node, tuple[int, ...]]
    """Order of a tensor's axes in memory when it was computed, the last axis densest."""
    written: dict[fx.Node, list[fx.Node]]
    """The inputs that a call wrote into."""
    twins: dict[fx.Node, Twin]
    """For calls that write, a twin that computed the same values in the rehearsal, if there is one."""
    reshaped: set[fx.Node]
    """Calls that gave their first input itself another shape or place in memory."""
    hidden: dict[fx.Node, str]
    """Calls inside which an activation without an upper end runs, and its name."""

    def __init__(self, module: fx.GraphModule, shape: tuple[int, int, int]) -> None:
        self._module = module
        self._ids: dict[int, int] = {}
        self._state: dict[str, Any] = {}
        self._fresh = count()
        self.values, self.tokens, self.storages, self.orders = {}, {}, {}, {}
        self.written, self.twins, self.reshaped, self.hidden = {}, {}, set(), {}
        images = torch.randn(N_IMAGES, *shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]), _row_major(module):
            for node in module.graph.nodes:
                self._run(node, images.clone())

    def _run(self, node: fx.Node, images: Tensor) -> None:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda other: self.values[other])
        first = kwargs.get("out", args[0] if args else None)
        twin, before = twin_of(node), {other: _versions(self.values[other]) for other in node.all_input_nodes}
        copies = None if twin is None else tree_map(_copied, (args, kwargs))
        place, watch = _place(first), ActivationWatch()
        try:
            with watch if may_hide(self._module, node) else nullcontext():
                result = self._result(node, args, kwargs, images)
        except Exception as error:
            raise FaultbenchError(
                f"{node.name} fails on {N_IMAGES} images: {first_line(error)}; {line_of(node)}; a network must take "
                "batches of any size"
            ) from error
        if watch.activation:
            self.hidden[node] = watch.activation
        if _place(first) != place:
            self.reshaped.add(node)
            self._ids[id(first)] = next(self._fresh)
        if changed := [other for other in before if _versions(self.values[other]) != before[other]]:
            self.written[node] = _written_inputs(node, changed)
        if twin is not None and copies is not None and (changed or node in self.reshaped):
            written = first if "out" in kwargs or not isinstance(result, Tensor) else result
            if _gives(twin, copies, written):
                self.twins[node] = twin
        self._note(node, result)

    def _result(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], images: Tensor) -> Any:
        match node.op:
            case "placeholder":
                return node.args[0] if node.args else images
            case "get_attr":
                return self._read(str(node.target))
            case "call_module":
                return self._module.get_submodule(str(node.target))(*args, **kwargs)
            case "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            case "output":
                return args[0]
        return node.target(*args, **kwargs)  # type: ignore[operator]  # a function's node holds the function

    def _read(self, target: str) -> Any:
        if target not in self._state:
            # A copy, since calls may write into it, here as in the forward.
            self._state[target] = _copied(operator.attrgetter(target)(self._module))
        return self._state[target]

    def _note(self, node: fx.Node, value: Any) -> None:
        self.values[node] = value
        self.tokens[node] = self._ids.setdefault(id(value), next(self._fresh))
        node.meta[FLOATING] = isinstance(value, Tensor) and value.is_floating_point()
        if isinstance(value, Tensor):
            self.orders[node] = order_of(value)
        tensors = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            self._ids.setdefault(id(tensor), next(self._fresh))
        self.storages[node] = tuple(dict.fromkeys(_address(tensor) for tensor in tensors if _address(tensor)))


def _written_inputs(node: fx.Node, changed: list[fx.Node]) -> list[fx.Node]:
    """Return the inputs that a call writes into by its name, among those whose memory changed; views share memory."""
    given: object = None
    if "out" in node.kwargs:
        given = node.kwargs["out"]
    elif written_first(node):
        given = node.args[0] if node.args else next(iter(node.kwargs.values()), None)
    elif str(getattr(node.target, "__name__", "")).startswith("_foreach_"):
        given = node.args[0]
    named = [leaf for leaf in tree_leaves(given) if leaf in changed]
    return named or changed


def _gives(twin: Twin, arguments: tuple[tuple[Any, ...], dict[str, Any]], expected: object) -> bool:
    """Return whether a twin gives what a call has written, bit for bit."""
    try:
        result = twin.compute(*arguments)
    except Exception:  # noqa: BLE001 - a function of that name may be another one, and raise what it likes
        return False
    if not isinstance(result, Tensor) or not isinstance(expected, Tensor):
        return False
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return False
    return torch.allclose(result, expected, rtol=0, atol=0, equal_nan=True)


def _versions(value: Any) -> list[int]:
    return [leaf._version for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and not leaf.is_inference()]


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def _place(value: Any) -> object:
    return (value.shape, value.stride(), _address(value)) if isinstance(value, Tensor) else None


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@contextmanager
def _row_major(module: nn.Module) -> Iterator[None]:
    """Make all filters row-major inside the block, since the views that a forward takes may depend on it."""
    kept = [(parameter, parameter.data) for parameter in module.parameters() if parameter.dim() > 3]
    for parameter, data in kept:
        # Of a single channel torch calls every order contiguous, and convolves in the order that the strides tell.
        is_so = data.stride() == torch.empty(data.shape, device="meta").stride()
        parameter.data = data if is_so else data.clone(memory_format=torch.contiguous_format)
    try:
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data
