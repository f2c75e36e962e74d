"""Stored tensors of a traced network: every parameter and buffer that inference reads, and its kind."""

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, fx, nn

from faultbench.networks.normalisation import TARGET
from faultbench.networks.stored.tensor_roles import OF_MEMORY, ORDER, Roles
from faultbench.networks.tracing.symbolic_trace import ATTENTION, LAYERS, READ_FROM_LAYER

INTEGERS = "integers"
"""Kind of index tables and masks, which inference reads but no fault model hits."""

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_LAYER_KINDS = {"weight": "weights", "bias": "biases"}
_ATTENTION_KINDS = {
    **dict.fromkeys(("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"), "weights"),
    **dict.fromkeys(("in_proj_bias", "bias_k", "bias_v"), "biases"),
    "out_proj.weight": "weights",
    "out_proj.bias": "biases",
}
_NORM_KINDS = {
    "weight": "norm_parameters",
    "bias": "norm_parameters",
    "running_mean": "norm_statistics",
    "running_var": "norm_statistics",
}
_KINDS = (((*LAYERS, nn.Bilinear), _LAYER_KINDS), (ATTENTION, _ATTENTION_KINDS), (_NORMS, _NORM_KINDS))

_KIND = "stored_kind"
"""Key of the meta of a node that reads a tensor: the tensor's kind."""

_OWNER = "stored_owner"
"""Key of the meta of a node that reads a tensor: the name in `layers` of the part of the network that keeps it."""

_SHAPE_CALLS = ("size", "dim", "numel", "ndimension", "stride", "is_floating_point", "is_complex", "is_contiguous")
_SHAPE_ATTRIBUTES = ("shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_cuda", "itemsize", "nbytes")
"""Attributes of a tensor that a forward can ask for without reading a value; `T` and `data` give values."""

_COUNTER = "num_batches_tracked"
"""Name of a batch norm's counter, which inference does not read."""


@dataclass(frozen=True)
class StoredParameter:
    """Stored tensor; kind is the fault target that it belongs to.

    Kinds are weights and biases of convolutions, linear layers and attention, and of what acts as one in a module of
    one's own; bounds of sites; norm_parameters and norm_statistics; others, such as class tokens, position embeddings,
    layer scales and slopes of a PReLU; and integers, which no fault hits. name is the state-dict name, or
    "bounds.<site>"; owner the layer's or site's name, the tensor's own where the network itself keeps it.
    """

    name: str
    kind: str
    owner: str
    tensor: Tensor


def mark_reads(graph: fx.GraphModule, model: nn.Module) -> None:
    """Note at every node that reads a tensor of the model the kind of that tensor; the graph must be freshly traced.

    The graph does not keep the modules whose tensors it reads, and these tell a norm from other modules.
    """
    roles, modules = Roles(graph), dict(model.named_modules())
    registered = {*dict(model.named_parameters()), *dict(model.named_buffers())}
    for node in graph.graph.nodes:
        value = _read(graph, node)
        if node.op != "get_attr" or not isinstance(value, Tensor):
            continue
        path, _, attribute = str(node.target).rpartition(".")
        is_registered = str(node.target) in registered
        caller = _caller(node)
        reader = path if is_registered else caller
        known = _kinds_known(node, modules.get(path) if is_registered else None)
        if not (value.is_floating_point() or value.is_complex()):
            # A table that the program writes out is no memory of the network's.
            kind = INTEGERS if is_registered else None
        else:
            is_buffer = is_registered and not isinstance(value, nn.Parameter)
            kind = known.get(attribute) or roles.kind(node, modules.get(reader), is_buffer=is_buffer)
        if kind is not None and attribute != _COUNTER and not all(map(_asks_shape, node.users)):
            node.meta[_KIND], node.meta[_OWNER] = kind, reader or attribute


def _kinds_known(node: fx.Node, owner: nn.Module | None) -> Mapping[str, str]:
    """Return the kinds of a layer's or a norm's tensors, by name."""
    return _LAYER_KINDS if node.meta.get(READ_FROM_LAYER) else _NORM_KINDS if isinstance(owner, _NORMS) else {}


def stored_parameters(graph: fx.GraphModule, bounded: Mapping[str, str]) -> Iterator[StoredParameter]:
    """Return what lies in memory in order of execution, nothing twice; what no logit depends on is left out.

    bounded maps the submodules that the graph calls at sites to the names of the sites.
    """
    stored: dict[str, StoredParameter] = {}
    live = _live(graph.graph)
    for node in graph.graph.nodes:
        for item in _stored_at(graph, node, bounded) if node in live else ():
            # A tensor that is used in several ways, as an embedding that is the last layer too, keeps its first place.
            known = stored.setdefault(item.name, item)
            if item.kind in ORDER and known.kind in ORDER and ORDER.index(item.kind) < ORDER.index(known.kind):
                stored[item.name] = replace(known, kind=item.kind)
    return iter(stored.values())


def layers_read(node: fx.Node) -> list[str]:
    """Return the owners of the weights that a function or method is given, and of biases that are a layer's."""
    queue, owners = list(node.all_input_nodes), dict[str, None]()
    while queue:
        given = queue.pop(0)
        if given.meta.get(READ_FROM_LAYER) or given.meta.get(_KIND) == "weights":
            owners[given.meta.get(_OWNER, str(given.target).rpartition(".")[0])] = None
        elif given.op.startswith("call_") and given.meta.get(OF_MEMORY):
            queue.extend(given.all_input_nodes)
    return list(owners)


def _stored_at(graph: fx.GraphModule, node: fx.Node, bounded: Mapping[str, str]) -> Iterator[StoredParameter]:
    target = str(node.target)
    if node.op == "call_module" and target in bounded:
        site, module = bounded[target], graph.get_submodule(target)
        yield from (StoredParameter(f"bounds.{site}", "bounds", site, bounds) for bounds in module.parameters())
    elif node.op == "call_module" and target != TARGET:
        yield from _of_module(target, graph.get_submodule(target))
    elif node.op == "get_attr" and _KIND in node.meta:
        yield StoredParameter(target, node.meta[_KIND], node.meta[_OWNER], operator.attrgetter(target)(graph))


def _of_module(target: str, module: nn.Module) -> Iterator[StoredParameter]:
    """Yield what a module that is called as a whole keeps: what layers of torch read, and all of other modules."""
    kinds = next((kinds for types, kinds in _KINDS if isinstance(module, types)), {})
    for name, kind in kinds.items():
        path, _, attribute = name.rpartition(".")
        tensor = getattr(module.get_submodule(path), attribute, None)
        if tensor is not None:
            yield StoredParameter(f"{target}.{name}", kind, target, tensor)
    if kinds and type(module).__module__.startswith("torch.") and not module._forward_hooks:
        return
    rest = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in rest:
        if name not in kinds and not name.endswith(_COUNTER):
            kind = "others" if tensor.is_floating_point() or tensor.is_complex() else INTEGERS
            yield StoredParameter(f"{target}.{name}", kind, target, tensor)


def _read(graph: fx.GraphModule, node: fx.Node) -> object:
    return operator.attrgetter(str(node.target))(graph) if node.op == "get_attr" else None


def _caller(node: fx.Node) -> str:
    """Return the path of the module whose forward reads a tensor; empty for the network itself."""
    stacks = (list(user.meta.get("nn_module_stack", {}).values()) for user in node.users)
    return next((str(stack[-1][0]) for stack in stacks if stack), "")


def _asks_shape(user: fx.Node) -> bool:
    """Return whether a step reads the shape or type of a tensor, and no value."""
    if user.target is getattr:
        return user.args[1] in _SHAPE_ATTRIBUTES
    return user.op == "call_method" and user.target in _SHAPE_CALLS


def _live(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that the logits depend on."""
    queue = [node for node in graph.nodes if node.op == "output" or _writes(node)]
    live: set[fx.Node] = set()
    while queue:
        node = queue.pop()
        if node not in live:
            live.add(node)
            queue.extend(node.all_input_nodes)
    return live


def _writes(node: fx.Node) -> bool:
    """Return whether a call may change one of its inputs, so that later reads of the input depend on it."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    writes = name == "setitem" or (name.endswith("_") and not name.endswith("__")) or "out" in node.kwargs
    return node.op in ("call_function", "call_method") and writes
