"""Activation sites of a graph: which calls they are, what feeds them, and a module of its own at each."""

from collections.abc import Mapping, Sequence

from torch import fx, nn

from faultbench.networks.memory_layout import is_row_major
from faultbench.networks.network import Site, target_of
from faultbench.networks.stored.stored_tensors import layers_read, stored_parameters
from faultbench.networks.stored.tensor_roles import OF_MEMORY
from faultbench.networks.tracing.elementwise import BehindActivation, activation_of, floor_of, input_of
from faultbench.networks.tracing.symbolic_trace import ATTENTION, LAYERS, activations_called
from faultbench.system.errors import FaultbenchError

Calls = tuple[fx.Node, ...]
"""Nodes that call activations without an upper end, in order of execution."""


def activation_calls(graph: fx.GraphModule, name: str) -> Calls:
    """Return the calls that become sites; FaultbenchError, with the name of the network, where there are none."""
    calls = tuple(n for n in graph.graph.nodes if activation_of(graph, n) and not n.meta.get(OF_MEMORY))
    if not calls:
        raise FaultbenchError(
            f"{name}: no activation without an upper end is called, so there is nothing to bound (it "
            f"calls {activations_called(graph)}); take a network with ReLUs, GELUs, SiLUs or others of torch.nn"
        )
    return calls


def give_sites(graph: fx.GraphModule, calls: Calls) -> tuple[Site, ...]:
    """Give each of these calls a module of its own in the graph, in place, and return the sites.

    The graph must be laid out, so that the shape of every value is known.
    """
    n_axes = {item.owner: item.tensor.dim() for item in stored_parameters(graph, {}) if item.kind == "weights"}
    sites = tuple(_site(graph, index, calls, n_axes) for index in range(len(calls)))
    for site, node in zip(sites, calls, strict=True):
        _give_own_module(graph, node, site)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return sites


def _site(graph: fx.GraphModule, index: int, calls: Calls, n_axes: Mapping[str, int]) -> Site:
    node = calls[index]
    shape = tuple(node.meta["tensor_meta"].shape[1:])
    feeding = _feeding(graph, node, calls)
    axis = _channel_axis(feeding, n_axes, len(shape))
    name, floor = _site_name(node, calls[:index]), floor_of(graph, node)
    return Site(index, name, shape, feeding, floor, axis, is_row_major(node))


def _layers_at(graph: fx.GraphModule, node: fx.Node) -> list[str]:
    """Return the layers that compute a node's value: one that it calls, or those whose parameters it is given."""
    if node.op == "call_module":
        is_layer = isinstance(graph.get_submodule(str(node.target)), (*LAYERS, *ATTENTION))
        return [str(node.target)] if is_layer else []
    return layers_read(node)


def _channel_axis(feeding: Sequence[str], n_axes: Mapping[str, int], n_axes_here: int) -> int:
    """Return the axis of the nearest layer's outputs: first for a convolution, last for linear layers and attention."""
    if not feeding:
        return 0
    return 0 if n_axes.get(feeding[0], 0) > 2 else n_axes_here - 1


def _site_name(node: fx.Node, earlier: Calls) -> str:
    """Return the path of the module called, or of the module that calls the function; repeats are numbered from #1."""
    name = _called(node)
    n_earlier = sum(_called(other) == name for other in earlier)
    return f"{name}#{n_earlier}" if n_earlier else name


def _called(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    owners = list(node.meta.get("nn_module_stack", {}).values())
    owner = owners[-1][0] if owners else ""
    name = getattr(node.target, "__name__", str(node.target)).strip("_").replace("relu6", "relu")
    return f"{owner}.{name}" if owner else name


def _feeding(graph: fx.GraphModule, node: fx.Node, calls: Calls) -> tuple[str, ...]:
    """Return the layers whose outputs reach a call without passing through another one, nearest first."""
    feeding: dict[str, None] = {}
    queue = list(node.all_input_nodes)
    visited: set[fx.Node] = set()
    while queue:
        current = queue.pop(0)
        if current in visited or current in calls:
            continue
        visited.add(current)
        if layers := _layers_at(graph, current):
            feeding |= dict.fromkeys(layers)
        else:
            queue.extend(current.all_input_nodes)
    return tuple(feeding)


def _give_own_module(graph: fx.GraphModule, node: fx.Node, site: Site) -> None:
    stays = activation_of(graph, node) is not nn.ReLU
    graph.add_submodule(target_of(site.index), BehindActivation(site.floor).eval() if stays else nn.ReLU())
    with graph.graph.inserting_after(node):
        own = graph.graph.call_module(target_of(site.index), (node if stays else input_of(node),))
    node.replace_all_uses_with(own, delete_user_cb=lambda user: user is not own)
    if not stays:
        graph.graph.erase_node(node)
