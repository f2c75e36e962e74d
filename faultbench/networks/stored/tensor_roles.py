"""Roles of tensors that a network reads without a layer of torch: weight, bias, of a norm, or none of these."""

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from torch import Tensor, fx, nn

Names = tuple[str, ...]

_ADDED = ("weights", "biases")
_CONV: Names = ("", "weights", "biases")
_MULTIPLIED: Names = ("weights", "weights")
_ADDED_PRODUCT: Names = ("biases", "weights", "weights")
_STATISTICS: Names = ("", "norm_statistics", "norm_statistics", "norm_parameters", "norm_parameters")

_ROLES: dict[str, Names] = {
    **{f"conv{kind}{n}d": _CONV for kind in ("", "_transpose") for n in (1, 2, 3)},
    **dict.fromkeys(("convolution", "linear"), _CONV),
    "bilinear": ("", "", "weights", "biases"),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "tensordot", "inner", "chain_matmul"), _MULTIPLIED),
    **dict.fromkeys(("addmm", "addmv", "addbmm", "baddbmm"), _ADDED_PRODUCT),
    **dict.fromkeys(("batch_norm", "instance_norm"), _STATISTICS),
    **dict.fromkeys(("layer_norm", "group_norm", "rms_norm"), ("", "", "norm_parameters", "norm_parameters")),
}
"""Function or method → roles of its arguments, by place."""

_BY_NAME = {
    "weight": "weights",
    "bias": "biases",
    "running_mean": "norm_statistics",
    "running_var": "norm_statistics",
    "mat1": "weights",
    "mat2": "weights",
    "other": "weights",
}
"""Roles of arguments that are given by name."""

_LAYER_WORDS = ("conv", "linear", "matmul")
"""Words in the name of a user's function that takes matrices as weights and vectors as biases."""

_NAMED = (("weight", True), ("bias", False))
"""Names of arguments of a user's function, and whether a tensor there has more than one axis."""

_ATTENTION = "multi_head_attention_forward"
_SUMS = ("add", "sub", "iadd", "isub")
_VIEWS = ("view", "reshape", "expand", "permute", "transpose", "t", "unsqueeze", "squeeze", "contiguous", "to", "float")
_ATTRIBUTES_OF_VALUES = ("T", "mT", "H", "mH", "data", "real")
"""Attributes of a tensor that give its values, in the same order or another."""
ORDER = ("weights", "biases", "norm_parameters", "norm_statistics", "others")
"""Kinds by precedence: the first one counts if a tensor is used in several ways."""


OF_MEMORY = "of_memory"
"""Key of the meta of a node: whether its value is computed from tensors of memory and constants alone."""


class Roles:
    """Roles of the tensors that a graph reads; nodes of the graph that depend on no image are marked."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self._graph = graph
        for node in graph.graph.nodes:
            is_call = node.op in ("call_function", "call_method")
            of_memory = is_call and all(other.meta[OF_MEMORY] for other in node.all_input_nodes)
            node.meta[OF_MEMORY] = node.op == "get_attr" or of_memory

    def kind(self, node: fx.Node, owner: nn.Module | None, *, is_buffer: bool) -> str:
        """Return the kind of the tensor that a node reads; owner is the module that has it, or reads it.

        It is the first kind in `ORDER` that a use of the tensor has. Uses are searched behind steps that combine the
        tensor with other tensors of memory only, such as the mask of a pruned weight; for a buffer, behind changes of
        its shape only.
        """
        tensor = _tensor(self._graph, node)
        uses = {self._role(user, via, tensor) for via, user in _uses(node, only_views=is_buffer)}
        kind = next((kind for kind in ORDER if kind in uses), "others")
        if kind == "others" and owner is not None and "Norm" in type(owner).__name__:
            attribute = str(node.target).rpartition(".")[2]
            return "norm_statistics" if attribute.startswith("running_") else "norm_parameters"
        return kind

    def _role(self, user: fx.Node, via: fx.Node, tensor: Tensor) -> str:
        name = _called(user)
        if name == _ATTENTION:
            return "weights" if tensor.dim() == 2 else "biases"
        if name == "einsum":
            return "weights"
        if name in _ROLES:
            return _of_argument(user, via, name)
        if (kind := _of_unknown(user, via, tensor, name)) is not None:
            return kind
        is_bias = name in _SUMS and any(self._is_product_of(other, tensor) for other in user.all_input_nodes)
        return "biases" if is_bias else "others"

    def _is_product_of(self, node: fx.Node, bias: Tensor) -> bool:
        """Return whether a node multiplies by a weight with as many channels as a bias has values."""
        if _called(node) != "einsum" and not {*_ROLES.get(_called(node), ())} >= {"weights"}:
            return False
        weights = [tensor for given in node.all_input_nodes for tensor in self._tensors_of(given)]
        return any(bias.numel() in weight.shape for weight in weights)

    def _tensors_of(self, node: fx.Node) -> Iterator[Tensor]:
        if node.op == "get_attr":
            yield _tensor(self._graph, node)
        elif node.meta[OF_MEMORY]:
            for given in node.all_input_nodes:
                yield from self._tensors_of(given)


def _uses(node: fx.Node, *, only_views: bool) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Yield the uses of a tensor in steps that depend on the images: the value that is used, and the step."""
    queue = [(node, user) for user in node.users]
    visited: set[fx.Node] = set()
    while queue:
        via, user = queue.pop(0)
        if not user.meta[OF_MEMORY] or (only_views and not _is_view(user)):
            yield via, user
        elif user not in visited:
            visited.add(user)
            queue.extend((user, other) for other in user.users)


def _is_view(node: fx.Node) -> bool:
    """Return whether a step changes at most the shape or type of a tensor."""
    if node.target is getattr:
        return node.args[1] in _ATTRIBUTES_OF_VALUES
    return _called(node) in _VIEWS


def _of_argument(user: fx.Node, via: fx.Node, name: str) -> str:
    places = [number for number, given in enumerate(user.args) if given is via]
    if places:
        roles = _ROLES[name]
        return (roles[places[0]] if places[0] < len(roles) else "") or "others"
    key = next((key for key, given in user.kwargs.items() if given is via), "")
    kind = _BY_NAME.get(key, "others")
    is_norm = "norm" in name and kind in _ADDED
    return "norm_parameters" if is_norm else kind


def _of_unknown(user: fx.Node, via: fx.Node, tensor: Tensor, name: str) -> str | None:
    """Return the role of a tensor in a user's function, if the function's or argument's name tells it."""
    if user.op != "call_function":
        return None
    key = next((key for key, given in _arguments(user).items() if given is via), "")
    if any(word in name.lower() for word in _LAYER_WORDS) or (key, tensor.dim() > 1) in _NAMED:
        return "weights" if tensor.dim() > 1 else "biases"
    return None


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a Python function by name; torch's functions in C++ have no names to read."""
    if not isinstance(node.target, FunctionType):
        return dict(node.kwargs)
    return dict(inspect.signature(node.target).bind_partial(*node.args, **node.kwargs).arguments)


def _called(node: fx.Node) -> str:
    if node.op == "call_function":
        return getattr(node.target, "__name__", "").strip("_")
    return str(node.target).strip("_") if node.op == "call_method" else ""


def _tensor(graph: fx.GraphModule, node: fx.Node) -> Tensor:
    module = graph.get_submodule(str(node.target).rpartition(".")[0])
    return getattr(module, str(node.target).rpartition(".")[2])  # type: ignore[no-any-return]  # the caller knows
