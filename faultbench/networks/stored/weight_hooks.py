"""Forward pre-hooks that compute a weight before each pass, and the weights that they compute."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from faultbench.system.errors import FaultbenchError

Run = Callable[[nn.Module, Tensor], object]
"""Passes images through a model."""

Hook = tuple[str, int]
"""The path of a module, and the key of one of its forward pre-hooks."""

LAYERS = (
    *(nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.Embedding, nn.EmbeddingBag, nn.PReLU),
    *(nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)
"""Layers of torch whose forward reads the attributes in `WEIGHT_NAMES`, whatever kind of tensor they are."""

WEIGHT_NAMES = ("weight", "bias", "running_mean", "running_var", "in_proj_weight", "in_proj_bias")


class WeightPlace(NamedTuple):
    """Place of a tensor in a model: the path of its module, and the attribute."""

    path: str
    attribute: str

    @property
    def name(self) -> str:
        """The state-dict name that a parameter has there."""
        return f"{self.path}.{self.attribute}" if self.path else self.attribute


def plain_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a module that are neither parameters nor buffers, by their names."""
    return ((name, value) for name, value in vars(module).items() if isinstance(value, Tensor))


def known_hooks(model: nn.Module) -> Iterator[WeightPlace]:
    """Yield the weights that pre-hooks of torch's own compute: of pruning, weight norm and spectral norm."""
    for path, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                yield WeightPlace(path, str(hook._tensor_name))
            elif isinstance(hook, WeightNorm | SpectralNorm):
                yield WeightPlace(path, str(hook.name))


def recomputed_weights(model: nn.Module, run: Run, images: Tensor) -> dict[WeightPlace, list[Hook]]:
    """Return the weights that forward pre-hooks compute in a pass, and for each the hooks that do.

    A tensor that depends on the images, such as an input that a hook stores, is not a weight. FaultbenchError for a
    layer's weight that a forward computes, that changes per pass, or whose hook changes the input too.
    """
    if not any(module._forward_pre_hooks for module in model.modules()) and not any(_weights(model)):
        return {}
    before = _weights(model)
    first, second = (_watched(model, run, given) for given in (images, torch.rand_like(images)))
    _refuse_new_weights(model, before, first, second)
    recomputed = {place: hooks for place, hooks in first.by_hook.items() if _is_same(first, second, place)}
    for place, hooks in recomputed.items():
        if first.changing.intersection(hooks):
            raise _refusal(model, place, "is computed by a forward pre-hook that changes the input as well")
    return recomputed


def drop_hooks(module: nn.Module, key: int) -> None:
    """Remove a forward pre-hook."""
    module._forward_pre_hooks.pop(key, None)
    module._forward_pre_hooks_with_kwargs.pop(key, None)


class _Seen(NamedTuple):
    """Effects of pre-hooks in one pass: the tensors they replaced, with values, and hooks that changed the input."""

    by_hook: dict[WeightPlace, list[Hook]]
    values: dict[WeightPlace, Tensor]
    changing: set[Hook]


def _refuse_new_weights(model: nn.Module, before: Mapping[WeightPlace, Tensor], first: _Seen, second: _Seen) -> None:
    """Raise FaultbenchError for a layer's weight that a forward computes, or that changes per pass."""
    for place, value in _weights(model).items():
        if place not in first.by_hook and value is not before.get(place):
            raise _refusal(model, place, "is computed anew by a forward in every pass")
        if place in first.by_hook and not _is_same(first, second, place):
            raise _refusal(model, place, "is computed otherwise in each pass")


def _is_same(first: _Seen, second: _Seen, place: WeightPlace) -> bool:
    value, again = first.values[place], second.values.get(place)
    return again is not None and value.shape == again.shape and torch.equal(value.nan_to_num(), again.nan_to_num())


def _tensors(model: nn.Module) -> dict[WeightPlace, Tensor]:
    return {
        WeightPlace(path, name): value for path, part in model.named_modules() for name, value in plain_tensors(part)
    }


def _weights(model: nn.Module) -> dict[WeightPlace, Tensor]:
    """Return the weights of torch's layers among the tensors that are not registered."""
    layers = {path for path, module in model.named_modules() if isinstance(module, LAYERS)}
    tensors = _tensors(model).items()
    return {place: value for place, value in tensors if place.path in layers and place.attribute in WEIGHT_NAMES}


def _watched(model: nn.Module, run: Run, images: Tensor) -> _Seen:
    seen = _Seen({}, {}, set())

    def watching(owner: Hook, hook: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            before = _tensors(model)
            given = hook(*args, **kwargs)
            for place, value in _tensors(model).items():
                if value is not before.get(place):
                    seen.by_hook.setdefault(place, []).append(owner)
            if given is not None:
                seen.changing.add(owner)
            return given

        return watched

    with _wrapped_hooks(model, watching):
        run(model, images)
    now = _tensors(model)
    seen.values.update((place, now[place].detach().clone()) for place in seen.by_hook)
    return seen


@contextmanager
def _wrapped_hooks(model: nn.Module, wrap: Callable[[Hook, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    kept = [(path, module, dict(module._forward_pre_hooks)) for path, module in model.named_modules()]
    try:
        for path, module, hooks in kept:
            for key, hook in hooks.items():
                module._forward_pre_hooks[key] = wrap((path, key), hook)
        yield
    finally:
        for _, module, hooks in kept:
            module._forward_pre_hooks.update(hooks)


def _refusal(model: nn.Module, place: WeightPlace, what: str) -> FaultbenchError:
    return FaultbenchError(
        f"{type(model).__name__}: {place.name} {what}, so that no fault in it would last; make it a parameter, or "
        "compute it with torch.nn.utils.parametrize or with a forward pre-hook that does nothing else"
    )
