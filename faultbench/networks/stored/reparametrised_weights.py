"""Weights that a network computes before each use, put in place as plain parameters as in a deployed network.

Pruning, weight norm, spectral norm and other parametrizations keep a weight as several tensors and compute it from them
in every pass. Memory holds the weight itself.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves

from faultbench.networks.stored.weight_hooks import (
    LAYERS,
    WEIGHT_NAMES,
    Run,
    WeightPlace,
    drop_hooks,
    known_hooks,
    plain_tensors,
    recomputed_weights,
)
from faultbench.system.errors import FaultbenchError

_SOURCES = ("orig", "mask", "g", "v", "u")
"""Endings, behind a weight's name, of the tensors from which torch's pre-hooks compute it."""

Module = TypeVar("Module", bound=nn.Module)

_STATISTICS = ("running_mean", "running_var")


def own_copy(model: Module) -> Module:
    """Return a copy of a model; tensors that a pass with gradients left in it are copied as values."""
    kept = tree_leaves([[*vars(module).values()] for module in model.modules()])
    computed = [value for value in kept if isinstance(value, Tensor) and not value.is_leaf]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in computed})


def computed_weights(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights that are computed before each use, as far as that is visible without a pass."""
    places = dict.fromkeys([*_parametrized(model), *known_hooks(model), *_fake_quantised(model)])
    hooked = {path for path, module in model.named_modules() if module._forward_pre_hooks}
    places |= dict.fromkeys(place for place in _loose(model) if place.path in hooked)
    return tuple(place.name for place in places)


@torch.no_grad()
def with_plain_weights(model: nn.Module, run: Run, images: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the model with every computed weight as a plain parameter, and the names of these weights.

    This is the model itself if it computes none, and else a changed copy. It must be in eval mode; run passes images
    through it. FaultbenchError for a weight that cannot be put in place: a forward computes it, or it changes per pass.
    """
    hooks = recomputed_weights(model, run, images)
    computed = dict.fromkeys([*_parametrized(model), *hooks])
    quantised = _fake_quantised(model)
    loose = [place for place in _loose(model) if place not in computed]
    values = {place: _value(model, place) for place in (*computed, *loose)}
    values |= {place: _quantised(model, place, quantise) for place, quantise in quantised.items()}
    if not values:
        return model, ()
    twin, tied = own_copy(model), _tied(model, values)
    for owner, key in {hook for of_place in hooks.values() for hook in of_place}:
        drop_hooks(twin.get_submodule(owner), key)
    for place, value in tied.items():
        module = twin.get_submodule(place.path)
        _put(module, place.attribute, value)
        if place in quantised:
            module.weight_fake_quant = nn.Identity()
    return twin, tuple(place.name for place in values if place not in loose)


def _parametrized(model: nn.Module) -> Iterator[WeightPlace]:
    for path, module in model.named_modules():
        if parametrize.is_parametrized(module):
            yield from (WeightPlace(path, str(name)) for name in module.parametrizations)


def _loose(model: nn.Module) -> Iterator[WeightPlace]:
    """Yield the weights of torch's layers that are registered neither as parameters nor as buffers."""
    for path, module in model.named_modules():
        if isinstance(module, LAYERS):
            yield from (WeightPlace(path, name) for name, _ in plain_tensors(module) if name in WEIGHT_NAMES)


def _fake_quantised(model: nn.Module) -> dict[WeightPlace, nn.Module]:
    """Return the weights that layers of quantisation-aware training round before each use, with what rounds them."""
    # A layer that folds its norm into the weight rounds the product: that stays to be done in each pass.
    layers = ((path, module) for path, module in model.named_modules() if not hasattr(module, "bn"))
    quantisers = ((path, getattr(module, "weight_fake_quant", None)) for path, module in layers)
    return {WeightPlace(path, "weight"): quantise for path, quantise in quantisers if isinstance(quantise, nn.Module)}


def _value(model: nn.Module, place: WeightPlace) -> Tensor:
    """Return the weight as it is now, in the memory layout of the tensors that it is computed from."""
    module = model.get_submodule(place.path)
    value, again = (_held(model, place).detach().clone() for _ in range(2))
    if not _same_bits(value, again):
        raise FaultbenchError(
            f"{type(model).__name__}: {place.name} is computed otherwise each time that it is read; faults need a "
            "network that has the same weights in every pass"
        )
    sources = [source for source in _sources(module, place.attribute) if source.dim() == value.dim() == 4]
    if any(not source.is_contiguous() for source in sources):
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _held(model: nn.Module, place: WeightPlace) -> Tensor:
    held: Tensor = getattr(model.get_submodule(place.path), place.attribute)
    return held


def _quantised(model: nn.Module, place: WeightPlace, quantise: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the weight as quantisation-aware training rounds it, with the scale of the last pass."""
    fixed = copy.deepcopy(quantise)
    if callable(switch := getattr(fixed, "disable_observer", None)):
        switch()
    rounded: Tensor = fixed(_held(model, place))
    return rounded.detach().clone()


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return bool(torch.equal(a.nan_to_num(), b.nan_to_num()))


def _sources(module: nn.Module, attribute: str) -> list[Tensor]:
    """Return the tensors that a weight is computed from, as far as torch's own tools keep them."""
    if parametrize.is_parametrized(module, attribute):
        return list(module.parametrizations[attribute].parameters())  # type: ignore[index, union-attr]  # a ModuleDict
    named = (getattr(module, f"{attribute}_{end}", None) for end in _SOURCES)
    return [tensor for tensor in named if isinstance(tensor, Tensor)]


def _tied(model: nn.Module, values: Mapping[WeightPlace, Tensor]) -> dict[WeightPlace, Tensor]:
    """Return the weights as parameters; equal weights that are computed from the same parameters share one."""
    groups: dict[tuple[int, ...], list[WeightPlace]] = {}
    parameters: dict[WeightPlace, Tensor] = {}
    for place, value in values.items():
        module = model.get_submodule(place.path)
        sources = [source for source in _sources(module, place.attribute) if isinstance(source, nn.Parameter)]
        # A loose weight is its own source: two layers may hold one tensor.
        group = groups.setdefault(tuple(map(id, sources)) or (id(vars(module).get(place.attribute, value)),), [])
        twin = next((other for other in group if _same_bits(values[other], value)), None)
        group.append(place)
        is_trained = value.is_floating_point() and place.attribute not in _STATISTICS
        own = nn.Parameter(value) if is_trained else value
        parameters[place] = own if twin is None else parameters[twin]
    return parameters


def _put(module: nn.Module, attribute: str, value: Tensor) -> None:
    """Make a module hold a weight itself, without the tensors that it was computed from."""
    if parametrize.is_parametrized(module):
        # Not remove_parametrizations: a copy shares its class, which that changes, with the module itself.
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    sources = [f"{attribute}_{end}" for end in _SOURCES]
    if isinstance(module, LAYERS) and not isinstance(module, nn.MultiheadAttention):
        sources += [name for name in module._parameters if name not in WEIGHT_NAMES]
    for holder in (vars(module), module._parameters, module._buffers):
        for name in (attribute, *sources):
            holder.pop(name, None)
    if isinstance(value, nn.Parameter):
        module.register_parameter(attribute, value)
    else:
        module.register_buffer(attribute, value)
