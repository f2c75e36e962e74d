"""A classifier traced into a graph: its activation sites and what of it lies in memory.

A *site* is one call of an activation, found with torch.fx: a module called twice is two sites, a functional
call is one as well (torchvision's ResNet-18 calls 9 ReLU modules at 17 sites). A ReLU is replaced by what a scheme
puts there. Any other activation stays, and its site stands behind it: a ReLU6 keeps its cap, so that bounds see
values of 0 to 6, and a GELU its negative values (`elementwise.BehindActivation`). Activations whose own range is
bounded, as Sigmoid, are no sites.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from faultbench.networks.memory_layout import bounds_laid_out, is_row_major, lay_out
from faultbench.networks.tracing.elementwise import (
    BehindActivation,
    activation_of,
    floor_of,
    input_of,
)
from faultbench.networks.tracing.in_place_writes import without_writes
from faultbench.networks.tracing.symbolic_trace import (
    ATTENTION,
    LAYERS,
    READ_FROM_LAYER,
    activations_called,
    first_line,
    symbolic,
)
from faultbench.system.devices import placed
from faultbench.system.errors import FaultbenchError

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
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


@dataclass(frozen=True)
class Site:
    """One call of an activation.

    shape is that of one image's output, without the batch: (C, H, W), (N,), or as a transformer has it (tokens, C) and
    (H, W, C). feeding names the layers (convolutions, linear ones, attention) whose outputs reach the site without
    passing through another site. floor is the lowest value that the activation gives: 0 of a ReLU, −inf of one that
    has none. channel_axis is where in the shape channels are. row_major says whether its values lie so in a processor's
    memory, and not channels-last.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    feeding: tuple[str, ...]
    floor: float = 0.0
    channel_axis: int = 0
    row_major: bool = False


@dataclass(frozen=True)
class Parameter:
    """A stored tensor; kind is the fault target it belongs to.

    Kinds are weights and biases of convolutions, linear layers and attention, bounds of sites, norm_parameters and
    norm_statistics. name is the state-dict name, or "bounds.<site>"; owner the layer's or site's name. What is no
    layer's (class tokens, position embeddings, layer scales) is no target.
    """

    name: str
    kind: str
    owner: str
    tensor: Tensor


class Network:
    """A traced classifier in eval mode; each of its sites holds a module of its own that can be replaced.

    Starts with what changes nothing: a plain, out-of-place ReLU for a ReLU, nn.Identity behind what stays.
    """

    def __init__(self, graph: fx.GraphModule, sites: tuple[Site, ...]) -> None:
        self.graph = graph
        self.sites = sites

    def __call__(self, images: Tensor) -> Tensor:
        """Images [n, channels, height, width] to logits [n, classes]."""
        return self.graph(images)  # type: ignore[no-any-return]  # GraphModule calls are untyped

    def at(self, site: Site) -> nn.Module:
        """The module that stands at a site."""
        module = self.graph.get_submodule(_target(site.index))
        return module.inner if isinstance(module, BehindActivation) else module

    def slot(self, site: Site) -> str:
        """The submodule that the graph calls at a site, whatever stands there."""
        return _target(site.index)

    def install(self, site: Site, activation: nn.Module) -> None:
        """Put a module at a site in place of what stands there."""
        target = _target(site.index)
        for parameter in activation.parameters():
            parameter.data = bounds_laid_out(parameter.data, row_major=site.row_major)
        is_behind = isinstance(self.graph.get_submodule(target), BehindActivation)
        self.graph.set_submodule(f"{target}.inner" if is_behind else target, placed(activation.eval(), self.device))

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.graph.parameters()).device

    def to(self, device: str) -> "Network":
        """Move its parameters there, in place, laid out as that computes fast."""
        placed(self.graph, device)
        return self

    def on(self, device: str) -> "Network":
        """This network if it is there, else a copy that is."""
        return self if self.device.type == device else self.copy().to(device)

    def copy(self) -> "Network":
        """An independent network with equal parameters."""
        return Network(copy.deepcopy(self.graph), self.sites)

    @torch.inference_mode()
    def macs(self, shape: tuple[int, int, int]) -> int:
        """Multiply-accumulates of one image of this shape, in convolutions and matrix products: half of torch's flops.

        Element-wise work, the activations among it, is not counted.
        """
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one fused operation, which the counter takes for free
        try:
            # Fused kernels of attention are not counted by every version of torch; matrix products are.
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                self(torch.zeros(1, *shape, device=self.device))
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        return int(counter.get_total_flops()) // 2

    def parameters(self) -> Iterator[Parameter]:
        """What lies in memory, in order of execution: of layers, norms and sites; nothing twice."""
        sites = {_target(site.index): site for site in self.sites}
        found: dict[str, Parameter] = {}
        for node in self.graph.graph.nodes:
            target = str(node.target)
            if node.op == "call_module":
                stored = self._stored_at(target, sites.get(target))
            else:
                stored = self._read_at(target) if node.meta.get(READ_FROM_LAYER) else iter(())
            for parameter in stored:
                found.setdefault(parameter.name, parameter)
        return iter(found.values())

    def _stored_at(self, target: str, site: Site | None) -> Iterator[Parameter]:
        module = self.graph.get_submodule(target)
        if site is not None:
            yield from (Parameter(f"bounds.{site.name}", "bounds", site.name, p) for p in module.parameters())
        else:
            yield from _parameters_of(target, module)

    def _read_at(self, target: str) -> Iterator[Parameter]:
        owner, _, attribute = target.rpartition(".")
        if attribute in _LAYER_KINDS:
            tensor = getattr(self.graph.get_submodule(owner), attribute)
            yield Parameter(target, _LAYER_KINDS[attribute], owner, tensor)


def _parameters_of(target: str, module: nn.Module) -> Iterator[Parameter]:
    known = ((LAYERS, _LAYER_KINDS), (ATTENTION, _ATTENTION_KINDS), (_NORMS, _NORM_KINDS))
    kinds = next((kinds for types, kinds in known if isinstance(module, types)), {})
    for name, kind in kinds.items():
        path, _, attribute = name.rpartition(".")
        tensor = getattr(module.get_submodule(path), attribute, None)
        if tensor is not None:
            yield Parameter(f"{target}.{name}", kind, target, tensor)


def trace(model: nn.Module, shape: tuple[int, int, int]) -> Network:
    """Trace a classifier of images of this shape (channels, height, width); the model is put into eval mode.

    The network shares the model's parameters, and lays some of them out anew (`layouts.lay_out`). FaultbenchError when
    the model gives no logits for such images, when torch.fx cannot follow its control flow, or when it calls no
    activation that can be bounded.
    """
    _refuse_unfit(model.eval(), shape)
    graph = symbolic(model)
    without_writes(graph)
    nodes = tuple(node for node in graph.graph.nodes if activation_of(graph, node))
    if not nodes:
        raise FaultbenchError(
            f"{type(model).__name__}: no activation without an upper end is called, so there is nothing to bound (it "
            f"calls {activations_called(graph)}); take a network with ReLUs, GELUs, SiLUs or others of torch.nn"
        )
    with torch.no_grad():
        lay_out(graph, shape)
    sites = tuple(_site(graph, node, index, nodes) for index, node in enumerate(nodes))
    for site, node in zip(sites, nodes, strict=True):
        _give_own_module(graph, node, site)
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


def _layers_at(graph: fx.GraphModule, node: fx.Node) -> list[str]:
    """The layers that compute a node's value: one that it calls, or those whose parameters it is given."""
    if node.op == "call_module":
        is_layer = isinstance(graph.get_submodule(str(node.target)), (*LAYERS, *ATTENTION))
        return [str(node.target)] if is_layer else []
    given = (str(one.target) for one in node.all_input_nodes if one.meta.get(READ_FROM_LAYER))
    return list(dict.fromkeys(target.rpartition(".")[0] for target in given))


def _site(graph: fx.GraphModule, node: fx.Node, index: int, nodes: tuple[fx.Node, ...]) -> Site:
    shape = tuple(node.meta["tensor_meta"].shape[1:])
    feeding = _feeding(graph, node, nodes)
    axis = _channel_axis(graph, feeding, len(shape))
    name, floor = _site_name(node, nodes[:index]), floor_of(graph, node)
    return Site(index, name, shape, feeding, floor, axis, is_row_major(node))


def _channel_axis(graph: fx.GraphModule, feeding: tuple[str, ...], n_axes: int) -> int:
    """Where the nearest layer's outputs are: a convolution's first, those of a linear layer and attention last."""
    if not feeding:
        return 0
    weight = getattr(graph.get_submodule(feeding[0]), "weight", None)
    return 0 if weight is not None and weight.dim() > 2 else n_axes - 1


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
    name = getattr(node.target, "__name__", str(node.target)).strip("_").replace("relu6", "relu")
    return f"{owner}.{name}" if owner else name


def _feeding(graph: fx.GraphModule, node: fx.Node, nodes: tuple[fx.Node, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    queue = list(node.all_input_nodes)
    visited: set[fx.Node] = set()
    while queue:
        current = queue.pop(0)
        if current in visited or current in nodes:
            continue
        visited.add(current)
        if layers := _layers_at(graph, current):
            found |= dict.fromkeys(layers)
        else:
            queue.extend(current.all_input_nodes)
    return tuple(found)


def _give_own_module(graph: fx.GraphModule, node: fx.Node, site: Site) -> None:
    stays = activation_of(graph, node) is not nn.ReLU
    graph.add_submodule(_target(site.index), BehindActivation(site.floor).eval() if stays else nn.ReLU())
    with graph.graph.inserting_after(node):
        own = graph.graph.call_module(_target(site.index), (node if stays else input_of(node),))
    node.replace_all_uses_with(own, delete_user_cb=lambda user: user is not own)
    if not stays:
        graph.graph.erase_node(node)
