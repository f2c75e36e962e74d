"""A classifier traced into a graph: its activation sites and what of it lies in memory.

A *site* is one call of an activation, found with torch.fx: a module called twice is two sites, a functional
call is one as well (torchvision's ResNet-18 calls 9 ReLU modules at 17 sites).
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

_RELU_FUNCTIONS = (F.relu, F.relu_, torch.relu, torch.relu_)
_RELU_METHODS = ("relu", "relu_")
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


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
    """A stored tensor; kind is the fault target it belongs to: weights, biases or bounds.

    name is the state-dict name of a weight or bias and "bounds.<site>" of bounds; owner the layer's or site's name.
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
        """What lies in memory, in order of execution: weights and biases of layers, bounds at sites; shared layers once."""
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
        elif isinstance(module, _LAYERS):
            yield Parameter(f"{target}.weight", "weights", target, module.weight)
            if module.bias is not None:
                yield Parameter(f"{target}.bias", "biases", target, module.bias)


def trace(model: nn.Module, shape: tuple[int, int, int]) -> Network:
    """Trace a classifier of images of this shape (channels, height, width); the model is put into eval mode.

    The network shares the model's parameters. FaultbenchError when torch.fx cannot follow the model's
    control flow, or when it calls no ReLU.
    """
    graph = _symbolic(model.eval())
    nodes = tuple(node for node in graph.graph.nodes if _is_relu(graph, node))
    if not nodes:
        raise FaultbenchError(f"{type(model).__name__}: no ReLU is called, so there is nothing to bound")
    with torch.no_grad():
        ShapeProp(graph).propagate(torch.zeros(1, *shape))  # type: ignore[no-untyped-call]
    sites = tuple(_site(graph, node, index, nodes) for index, node in enumerate(nodes))
    for site, node in zip(sites, nodes, strict=True):
        _give_own_module(graph, node, site.index)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return Network(graph, sites)


def _symbolic(model: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(model)
    except (fx.proxy.TraceError, TypeError, RuntimeError, NotImplementedError) as error:
        raise FaultbenchError(
            f"{type(model).__name__} cannot be traced by torch.fx: {error}; "
            "its forward must not branch on the values of tensors"
        ) from error


def _target(index: int) -> str:
    return f"faultbench_sites.{index}"


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), nn.ReLU)
    return (node.op == "call_function" and node.target in _RELU_FUNCTIONS) or (
        node.op == "call_method" and node.target in _RELU_METHODS
    )


def _is_layer(graph: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), _LAYERS)


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
    with graph.graph.inserting_after(node):
        own = graph.graph.call_module(_target(index), (node.args[0] if node.args else node.kwargs["input"],))
    node.replace_all_uses_with(own)
    graph.graph.erase_node(node)
