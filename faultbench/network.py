"""A classifier traced into a graph: its activation sites and what of it lies in memory.

A *site* is one call of an activation, found with torch.fx: a module called twice is two sites, a functional
call is one as well (torchvision's ResNet-18 calls 9 ReLU modules at 17 sites). A ReLU6 keeps its cap: the site
stands behind it, so that bounds see values of 0 to 6.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from faultbench.errors import FaultbenchError
from faultbench.in_place import without_writes
from faultbench.symbolic import LAYERS, activations_called, first_line, symbolic

_RELU_FUNCTIONS = (F.relu, F.relu_, torch.relu, torch.relu_)
_RELU_METHODS = ("relu", "relu_")
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
_LAYER_KINDS = {"weight": "weights", "bias": "biases"}
_NORM_KINDS = {
    "weight": "norm_parameters",
    "bias": "norm_parameters",
    "running_mean": "norm_statistics",
    "running_var": "norm_statistics",
}


@dataclass(frozen=True)
class Site:
    """One call of an activation.

    shape is that of one image's output, without the batch: (C, H, W) or (N,). feeding names the convolutions
    and linear layers whose outputs reach the site without passing through another site.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    feeding: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """A stored tensor; kind is the fault target it belongs to.

    Kinds are weights and biases of convolutions and linear layers, bounds of sites, norm_parameters and
    norm_statistics. name is the state-dict name, or "bounds.<site>"; owner the layer's or site's name.
    """

    name: str
    kind: str
    owner: str
    tensor: Tensor


class Network:
    """A traced classifier in eval mode; each of its sites holds a module of its own that can be replaced.

    Starts with a plain, out-of-place ReLU at every site, whatever the traced model had there.
    """

    def __init__(self, graph: fx.GraphModule, sites: tuple[Site, ...]) -> None:
        self.graph = graph
        self.sites = sites

    def __call__(self, images: Tensor) -> Tensor:
        """Images [n, channels, height, width] to logits [n, classes]."""
        return self.graph(images)  # type: ignore[no-any-return]  # GraphModule calls are untyped

    def at(self, site: Site) -> nn.Module:
        """The module that stands at a site."""
        return self.graph.get_submodule(_target(site.index))

    def install(self, site: Site, activation: nn.Module) -> None:
        """Put a module at a site in place of what stands there."""
        self.graph.set_submodule(_target(site.index), activation.eval())

    def copy(self) -> "Network":
        """An independent network with equal parameters."""
        return Network(copy.deepcopy(self.graph), self.sites)

    @torch.inference_mode()
    def macs(self, shape: tuple[int, int, int]) -> int:
        """Multiply-accumulates of one image of this shape, in convolutions and matrix products: half of torch's flops.

        Element-wise work, the activations among it, is not counted.
        """
        with FlopCounterMode(display=False) as counter:
            self(torch.zeros(1, *shape))
        return int(counter.get_total_flops()) // 2

    def parameters(self) -> Iterator[Parameter]:
        """What lies in memory, in order of execution: of layers, norms and sites; nothing twice."""
        seen: set[str] = set()
        sites = {_target(site.index): site for site in self.sites}
        for node in self.graph.graph.nodes:
            target = str(node.target)
            if node.op == "call_module" and target not in seen:
                seen.add(target)
                yield from self._stored_at(target, sites.get(target))

    def _stored_at(self, target: str, site: Site | None) -> Iterator[Parameter]:
        module = self.graph.get_submodule(target)
        if site is not None:
            yield from (Parameter(f"bounds.{site.name}", "bounds", site.name, p) for p in module.parameters())
        else:
            yield from _parameters_of(target, module)


def _parameters_of(target: str, module: nn.Module) -> Iterator[Parameter]:
    kinds = _LAYER_KINDS if isinstance(module, LAYERS) else _NORM_KINDS if isinstance(module, _NORMS) else {}
    for attribute, kind in kinds.items():
        tensor = getattr(module, attribute, None)
        if tensor is not None:
            yield Parameter(f"{target}.{attribute}", kind, target, tensor)


def trace(model: nn.Module, shape: tuple[int, int, int]) -> Network:
    """Trace a classifier of images of this shape (channels, height, width); the model is put into eval mode.

    The network shares the model's parameters. FaultbenchError when the model gives no logits for such images,
    when torch.fx cannot follow its control flow, or when it calls no ReLU.
    """
    _refuse_unfit(model.eval(), shape)
    graph = symbolic(model)
    nodes = tuple(node for node in graph.graph.nodes if _is_relu(graph, node))
    if not nodes:
        raise FaultbenchError(
            f"{type(model).__name__}: no ReLU is called, so there is nothing to bound "
            f"(it calls {activations_called(graph)}); take a network whose activations are ReLUs"
        )
    for node in nodes:
        _read_result(graph, node)
    with torch.no_grad():
        ShapeProp(graph).propagate(torch.zeros(1, *shape))
    sites = tuple(_site(graph, node, index, nodes) for index, node in enumerate(nodes))
    for site, node in zip(sites, nodes, strict=True):
        _give_own_module(graph, node, site.index)
    # Dead code stays: torch.fx takes an in-place operation whose result nobody names for dead.
    without_writes(graph)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return Network(graph, sites)


@torch.no_grad()
def _refuse_unfit(model: nn.Module, shape: tuple[int, int, int]) -> None:
    name, size = type(model).__name__, "×".join(map(str, shape))
    try:
        logits = model(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise FaultbenchError(
            f"{name} does not take images of {size}: {first_line(error)}; take another network, or other images"
        ) from error
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise FaultbenchError(f"{name} gives {given} for one image of {size}; a classifier gives logits (1, n_classes)")


def _target(index: int) -> str:
    return f"faultbench_sites.{index}"


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), nn.ReLU | nn.ReLU6)
    return (node.op == "call_function" and node.target in (*_RELU_FUNCTIONS, F.relu6)) or (
        node.op == "call_method" and node.target in _RELU_METHODS
    )


def _is_capped(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), nn.ReLU6)
    return node.target is F.relu6


def _read_result(graph: fx.GraphModule, node: fx.Node) -> None:
    """Let what reads the input of an in-place ReLU after it, and so sees the ReLU, read the ReLU's own output."""
    if _is_in_place(graph, node):
        _input(node).replace_all_uses_with(node, delete_user_cb=lambda user: node < user)


def _is_in_place(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(graph.get_submodule(str(node.target)).inplace)
    by_name = node.target in (F.relu_, torch.relu_, "relu_")
    return by_name or bool(node.kwargs.get("inplace", len(node.args) > 1 and node.args[1]))


def _input(node: fx.Node) -> fx.Node:
    return node.args[0] if node.args else node.kwargs["input"]  # type: ignore[return-value]  # a ReLU's input is a tensor


def _is_layer(graph: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), LAYERS)


def _site(graph: fx.GraphModule, node: fx.Node, index: int, nodes: tuple[fx.Node, ...]) -> Site:
    shape = tuple(node.meta["tensor_meta"].shape[1:])
    return Site(index, _site_name(node, nodes[:index]), shape, _feeding(graph, node, nodes))


def _site_name(node: fx.Node, earlier: tuple[fx.Node, ...]) -> str:
    """The module's path, or that of the module that calls the function; repeated calls are numbered from #1."""
    name = _called(node)
    n_earlier = sum(_called(other) == name for other in earlier)
    return f"{name}#{n_earlier}" if n_earlier else name


def _called(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    owners = list(node.meta.get("nn_module_stack", {}).values())
    owner = owners[-1][0] if owners else ""
    return f"{owner}.relu" if owner else "relu"


def _feeding(graph: fx.GraphModule, node: fx.Node, nodes: tuple[fx.Node, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    queue = list(node.all_input_nodes)
    visited: set[fx.Node] = set()
    while queue:
        current = queue.pop(0)
        if current in visited or current in nodes:
            continue
        visited.add(current)
        if _is_layer(graph, current):
            found[str(current.target)] = None
        else:
            queue.extend(current.all_input_nodes)
    return tuple(found)


def _give_own_module(graph: fx.GraphModule, node: fx.Node, index: int) -> None:
    graph.add_submodule(_target(index), nn.ReLU())
    capped = _is_capped(graph, node)  # a ReLU6 stays and the site stands behind it, where a ReLU changes nothing
    with graph.graph.inserting_after(node):
        own = graph.graph.call_module(_target(index), (node if capped else _input(node),))
    node.replace_all_uses_with(own, delete_user_cb=lambda user: user is not own)
    if not capped:
        graph.graph.erase_node(node)
    elif node.op == "call_module":
        graph.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]  # a flag of ReLU6
    else:
        node.args, node.kwargs = (_input(node),), {}
