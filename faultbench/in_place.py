"""Taking in-place operations out of a graph, so that no value changes once it is made."""

import operator

from torch import fx

_OUT_OF_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


def without_writes(module: fx.GraphModule) -> None:
    """Replace each in-place operation of a module's graph by one that makes the same values anew.

    Knows torch's own: operators, methods, functions with `inplace`, and modules with that flag, which is turned off.
    What a module of somebody's own does inside is its own affair. Whoever calls this recompiles.
    """
    for node in [node for node in module.graph.nodes if _writes(module, node)]:
        # Whoever reads the input after an in-place operation saw its result.
        node.all_input_nodes[0].replace_all_uses_with(node, delete_user_cb=lambda user, node=node: node < user)
        _make_pure(module, node)


def _writes(module: fx.GraphModule, node: fx.Node) -> bool:
    match node.op:
        case "call_module":
            return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
        case "call_function":
            return node.target in _OUT_OF_PLACE or bool(node.kwargs.get("inplace"))
        case "call_method":
            return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return False


def _make_pure(module: fx.GraphModule, node: fx.Node) -> None:
    if node.op == "call_module":
        module.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]  # a flag of torch's modules
    elif node.op == "call_method":
        node.target = str(node.target)[:-1]
    elif node.target in _OUT_OF_PLACE:
        node.target = _OUT_OF_PLACE[node.target]
    else:
        node.kwargs = {**node.kwargs, "inplace": False}
