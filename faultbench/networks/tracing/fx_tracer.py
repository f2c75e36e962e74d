"""Recording of a model by torch.fx, or the place and reason where it cannot be recorded."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from faultbench.networks.tracing.known_sizes import KnownSizes
from faultbench.networks.tracing.proxies import ASKED_SIZE, Shape, StoredProxy, ValueProxy
from faultbench.networks.tracing.symbolic_trace import LAYERS, LINE, READ_FROM_LAYER, first_line, line_here, place_of
from faultbench.system.errors import FaultbenchError

_OPAQUE = (
    *(nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.RNNBase, nn.RNNCellBase),
)
"""Modules that torch.fx takes as one call, though activations and weights are inside."""

_COMPILED = "_compiled_call_impl"
"""Attribute in which `Module.compile` keeps its result, which torch.fx cannot follow."""

_SCRIPTED = (
    "TorchScript, in which weights and activations cannot be reached; build the network from the Python module or "
    "function that was scripted"
)


_CONSTRUCTORS = (torch.zeros, torch.ones, torch.full, torch.empty, torch.eye, torch.arange, torch.linspace)
"""Functions of torch that make tensors from sizes; they are recorded where a size depends on the batch."""


class Way(NamedTuple):
    """One way to follow a model."""

    follows_buffers: bool
    """Whether what is computed of floating-point buffers alone is part of the graph, and not a constant of it."""
    knows_sizes: bool
    """Whether sizes that are the same for every batch are numbers, and not steps of the graph."""


_WAYS = (Way(True, False), Way(False, False), Way(True, True), Way(False, True))
"""Ways to follow a model, in the order in which they are tried: numbers come last, as graphs without them are kept."""


class ModelTracer(fx.Tracer):
    """Tracer that takes every layer as one call, also layers of the user's own classes: their weights lie in memory.

    opened are the modules that are followed nevertheless, since activations run inside. shape is that of the images.
    """

    def __init__(self, root: nn.Module, shape: tuple[int, int, int], opened: Collection[nn.Module], way: Way) -> None:
        super().__init__(autowrap_functions=_CONSTRUCTORS if way.knows_sizes else ())
        if way.knows_sizes:
            self._autowrap_search.append(torch)  # or only those that a user's module imports by name were recorded
        self._opened, self._follows_buffers = opened, way.follows_buffers
        self.read: list[tuple[Tensor, int, str]] = []
        """Tensors that were given to a proxy but are not proxies, their versions at that time, and the lines."""
        self.unhooked: list[str] = []
        """Layers of torch that were taken as one call while their hooks were followed."""
        self.known = KnownSizes(root, shape, self.unhooked, is_asked=way.knows_sizes)

    def create_args_for_root(self, *_of_torch: Any, **_more: Any) -> tuple[Any, list[Any]]:
        """Call the model as a user does, with images alone, so that its hooks and its own `__call__` run.

        Python fills in the defaults of other arguments. As placeholders, which torch.fx would make of them, the model
        could not read them as None, numbers or flags.
        """
        images = self.create_proxy("placeholder", _images_name(self.root), (), {})
        return (lambda root, given: root(given)), [self.root, images]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if m is self.root or any(m is module for module in self._opened):
            return False
        # A norm of torch's own forward asks for the shape of its input, which torch.fx cannot follow.
        is_norm = isinstance(m, nn.modules.batchnorm._NormBase) and type(m).forward.__module__.startswith("torch.nn.")
        return isinstance(m, LAYERS) or is_norm or super().is_leaf_module(m, module_qualified_name)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ARG002 - fx has it
        if self.known.is_running:
            return attr_val
        is_buffer = isinstance(attr_val, Tensor) and not isinstance(attr_val, nn.Parameter)
        if is_buffer and not (self._follows_buffers and attr_val.is_floating_point()):
            return attr_val
        named = [*self.root.named_parameters(), *self.root.named_buffers()] if isinstance(attr_val, Tensor) else []
        name = next((name for name, tensor in named if tensor is attr_val), None)
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            factory = (lambda node: StoredProxy(node, self, attr_val)) if self._opened else None
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, proxy_factory_fn=factory)
        return parameter_proxy_cache[name]

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor) and not a.is_inference():
            self.read.append((a, a._version, line_here()))
        return super().create_arg(tuple(a) if isinstance(a, Shape) else a)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Return the items of a value that a forward loops over, if their number is known."""
        length = obj.length() if isinstance(obj, ValueProxy) else None
        return super().iter(obj) if length is None else iter([obj[number] for number in range(length)])  # type: ignore[index]  # torch's magic methods are untyped

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self.known.is_running:
            return forward(*args, **kwargs)
        if not (any(m is module for module in self._opened) and _is_of_torch(m)):
            return super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        self.unhooked.append(path)
        # torch calls the hooks of a module around what stands for its forward.
        m.__dict__["forward"] = lambda *given, **named: self.create_proxy("call_module", path, given, named)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            del m.__dict__["forward"]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return ValueProxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[LINE] = line_here()
        return node


def _images_name(model: nn.Module) -> str:
    """Return the name of forward's first argument."""
    first = next(iter(inspect.signature(model.forward).parameters.values()), None)
    is_named = first is not None and first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    return first.name if first is not None and is_named else "images"


def symbolic(model: nn.Module, shape: tuple[int, int, int], opened: Collection[nn.Module] = ()) -> fx.GraphModule:
    """Return the graph of a model that is known to run on images of this shape; it shares the model's parameters.

    Modules that are opened are followed, and not taken as one call. FaultbenchError with the module and the line of
    source that torch.fx cannot follow.
    """
    compiled = [(vars(module), vars(module).pop(_COMPILED)) for module in model.modules() if _COMPILED in vars(module)]
    try:
        graph, tracer = _followed(model, shape, opened)
    except FaultbenchError:
        raise
    # The model ran on a tensor just now: whatever it raises on a proxy, it is the proxy that it cannot take.
    except Exception as error:
        raise FaultbenchError(
            f"{type(model).__name__} cannot be traced by torch.fx: {_reason(error)}; "
            f"stopped {place_of(error, model)}; {_advice(error)}"
        ) from error
    finally:
        for attributes, call in compiled:
            attributes[_COMPILED] = call
    _refuse_late_writes(tracer, model)
    _refuse_opaque(graph, model)
    for node in graph.graph.nodes:
        if node.op == "get_attr":  # of the module that it is read from the graph keeps this parameter alone
            owner = model.get_submodule(str(node.target).rpartition(".")[0])
            node.meta[READ_FROM_LAYER] = isinstance(owner, LAYERS)
    return graph


def _reason(error: Exception) -> str:
    """Return the first sentence of an error of torch.fx; the rest is about torch.fx itself."""
    return first_line(error).partition(". ")[0].rstrip(".")


def _advice(error: Exception) -> str:
    if "not installed as a submodule" in str(error):
        return (
            "every module that its forward calls must be an attribute of the network, or in an nn.ModuleList or "
            "nn.ModuleDict that is one; else no state dict has its weights"
        )
    if "not a member of this module" in str(error):
        return "a module's forward must be its class's own: derive a class instead of replacing the method"
    return (
        "its forward must not branch on values of tensors or on the number of images, loop over them, nor turn them "
        "into numbers: use torch.where, or put the step into a function of its own under torch.fx.wrap"
    )


def _followed(
    model: nn.Module, shape: tuple[int, int, int], opened: Collection[nn.Module]
) -> tuple[fx.GraphModule, ModelTracer]:
    """Follow a model in the first of `_WAYS` that succeeds."""
    for way in _WAYS[:-1]:
        kept = [(module, dict(module._buffers)) for module in model.modules()]
        try:
            return _followed_so(model, shape, opened, way)
        except FaultbenchError:
            raise
        except Exception:  # noqa: BLE001 - a forward raises what it likes; the model is followed in the next way
            for module, buffers in kept:
                module._buffers.update(buffers)
    return _followed_so(model, shape, opened, _WAYS[-1])


def _followed_so(
    model: nn.Module, shape: tuple[int, int, int], opened: Collection[nn.Module], way: Way
) -> tuple[fx.GraphModule, ModelTracer]:
    tracer = ModelTracer(model, shape, opened, way)
    graph = tracer.trace(model)
    if way.follows_buffers:
        _require_tensors(buffer for module in model.modules() for buffer in module._buffers.values())
    for node in reversed(graph.nodes):
        if node.target in _CONSTRUCTORS:
            node.meta.pop("is_wrapped", None)  # or the graph's code puts the function under fx.wrap, by its full name
        if node.meta.get(ASKED_SIZE) and not node.users:
            graph.erase_node(node)
    module = fx.GraphModule(model, graph, type(model).__name__)
    for path in tracer.unhooked:
        module.set_submodule(path, _without_hooks(model.get_submodule(path)))
    return module, tracer


def _require_tensors(buffers: Iterable[object]) -> None:
    if any(isinstance(buffer, fx.Proxy) for buffer in buffers):
        raise TypeError("a buffer is replaced")


def _is_of_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and "forward" not in vars(module)


def _without_hooks(module: nn.Module) -> nn.Module:
    """Return a layer with the same parameters that calls no hook."""
    bare = copy.copy(module)
    bare._forward_hooks, bare._forward_pre_hooks = OrderedDict(), OrderedDict()
    return bare


def _refuse_late_writes(tracer: ModelTracer, model: nn.Module) -> None:
    """Refuse a tensor that is no activation and is written after it was used: a graph knows its last values alone."""
    for tensor, version, line in tracer.read:
        if tensor._version != version:
            raise FaultbenchError(
                f"{type(model).__name__}: a tensor of shape {tuple(tensor.shape)} is used at {line}, and written later "
                "in the same forward; torch.fx cannot follow that: make a new tensor instead of writing into it"
            )


def refuse_scripted(model: nn.Module) -> None:
    """Refuse a model with parts in TorchScript: torch.fx sees one call there, or nothing."""
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise FaultbenchError(f"{type(model).__name__}: {path or 'the model'} is {_SCRIPTED}")


def _refuse_opaque(graph: fx.GraphModule, model: nn.Module) -> None:
    for node in graph.graph.nodes:
        if isinstance(node.target, torch.jit.ScriptFunction):
            raise FaultbenchError(f"{type(model).__name__}: {node.name} is {_SCRIPTED}")
        if node.op == "call_module" and isinstance(module := graph.get_submodule(str(node.target)), _OPAQUE):
            raise FaultbenchError(
                f"{type(model).__name__}: {node.target} is one {type(module).__name__} to torch.fx, with weights "
                "and activations inside that cannot be reached; write it with linear layers and nn.MultiheadAttention"
            )
