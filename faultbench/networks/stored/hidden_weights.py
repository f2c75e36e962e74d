"""Weights of a model that are not plain parameters, so that no fault can be put into them from Python."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from faultbench.networks.stored.weight_hooks import plain_tensors
from faultbench.system.errors import FaultbenchError

_COUNTERS = ("num_batches_tracked", "n_averaged")
"""Buffers that count passes of training, which inference does not read."""

_OF_MODULES = frozenset(vars(nn.Module()))
"""Attributes in which every module of torch keeps its parameters, buffers, modules and hooks."""

_STATISTICS = ("running_mean", "running_var")


def hidden_weights(model: nn.Module) -> list[str]:
    """Return the paths of modules whose weights torch gives no access to: packed, quantised or frozen ones."""
    return [path or "the model itself" for path, module in model.named_modules() if _hides(module)]


def require_reachable(model: nn.Module) -> None:
    """Raise FaultbenchError unless all weights of a model are tensors that can be written, behind no wrapper."""
    for path, module in model.named_modules():
        kind, place = type(module).__name__, path or "the model itself"
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise FaultbenchError(f"{place} is {kind}, which hides what it holds; give its `.module`")
        if kind == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
            raise FaultbenchError(
                f"{place} is compiled, which hides what it holds; give it as it was before torch.compile"
            )
        if _packs(module):
            raise FaultbenchError(
                f"{place}, {kind}, keeps packed, quantised or frozen weights, where no fault can be put; give the "
                "float model that it was made from"
            )
    reasons = (unfit_parameter(name, parameter) for name, parameter in model.named_parameters())
    if reason := next(filter(None, reasons), None):
        raise FaultbenchError(reason)


def unfit_parameter(name: str, parameter: Tensor) -> str | None:
    """Return why a parameter's memory cannot be written, or None if it is strided on a real device."""
    kind = type(parameter).__name__
    if isinstance(parameter, UninitializedParameter | UninitializedBuffer):
        return f"{name} has no shape yet; run the model on a batch first"
    if parameter.device.type == "meta":
        return f"{name} is on the device meta, without values; load the weights first"
    if parameter.layout != torch.strided or parameter.is_quantized:
        return f"{name} is {parameter.layout}; only plain strided tensors are written"
    if type(parameter).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return f"{name} is a {kind}, which keeps its values elsewhere; only plain tensors are written"
    return None


def outside_parameters(model: nn.Module) -> Mapping[str, Tensor]:
    """Return the tensors that a model keeps beside its parameters, by name: buffers, plain tensors, and those in lists.

    A layer in a list or a dictionary is not a module of the model, so that its parameters are returned too.
    """
    beside = {name: buffer for name, buffer in model.named_buffers() if name.rpartition(".")[2] not in _COUNTERS}
    registered = {id(parameter) for parameter in model.parameters()}
    registered |= {id(module) for module in model.modules()} | {id(buffer) for buffer in beside.values()}
    for path, module in model.named_modules():
        own = [(name, value) for name, value in vars(module).items() if name not in _OF_MODULES]
        for name, value in _held(own, registered):
            beside[f"{path}.{name}" if path else name] = value
    return beside


def kind_outside(name: str, tensor: Tensor) -> str:
    """Return the kind of a tensor beside the parameters: norm_statistics, integers or others."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return "integers"
    return "norm_statistics" if name.rpartition(".")[2] in _STATISTICS else "others"


def _held(named: Iterable[tuple[str, Any]], met: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors among values, and in lists, mappings and records; objects whose id is in met are skipped."""
    for name, value in named:
        if id(value) in met:
            continue
        if isinstance(value, Tensor):
            met.add(id(value))
            yield name, value
        elif isinstance(value, nn.Module):
            met |= {id(module) for module in value.modules()}
            tensors = [*value.named_parameters(), *value.named_buffers()]
            inner = [(key, tensor) for key, tensor in tensors if key.rpartition(".")[2] not in _COUNTERS]
            yield from _held(((f"{name}.{key}", tensor) for key, tensor in inner), met)
        elif isinstance(value, Mapping | list | tuple | SimpleNamespace) or is_dataclass(value):
            met.add(id(value))
            yield from _held([(f"{name}{place}", inner) for place, inner in _items(value)], met)


def _items(value: Any) -> list[tuple[str, Any]]:
    """Return the entries of a list, mapping or record, each with its place as code writes it."""
    if isinstance(value, Mapping):
        return [(f"[{key!r:.40}]", inner) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{number}]", inner) for number, inner in enumerate(value)]
    return [(f".{name}", inner) for name, inner in getattr(value, "__dict__", {}).items()]


def _hides(module: nn.Module) -> bool:
    """Return whether a module keeps weights that are not parameters: packed ones, or a matrix named weight."""
    named = (tensor.dim() > 1 and "weight" in name and "mask" not in name for name, tensor in _beside(module))
    return _packs(module) or any(named)


def _packs(module: nn.Module) -> bool:
    if any(tensor.layout != torch.strided or tensor.is_quantized for _, tensor in _beside(module)):
        return True
    if isinstance(module, torch.jit.ScriptModule):
        return _is_packed(module)
    return any(isinstance(value, torch.ScriptObject) for value in vars(module).values())


def _beside(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_buffers(recurse=False), *plain_tensors(module)]


def _is_packed(module: torch.jit.ScriptModule) -> bool:
    """Return whether a scripted module's code holds packed weights, or float tensors as a frozen module does."""
    try:
        graph: Any = module.inlined_graph
    except (AttributeError, RuntimeError):  # a module without a forward
        return False
    constants = (node.t("value") for node in graph.findAllNodes("prim::Constant") if _holds_tensor(node))
    packed = (str(node.output().type()) for node in graph.findAllNodes("prim::GetAttr"))
    return any(tensor.is_floating_point() and tensor.dim() for tensor in constants) or any(
        "torch.classes" in kind for kind in packed
    )


def _holds_tensor(node: Any) -> bool:
    return bool(node.hasAttribute("value") and node.kindOf("value") == "t")
