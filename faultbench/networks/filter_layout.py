"""How the filters of a user's own module lie in memory while the module itself runs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_TORCH = str(Path(torch.__file__).parent)
_DISPATCHING = torch.overrides.__file__
_TELL_LAYOUT = {
    *(Tensor.stride, Tensor.is_contiguous, Tensor.dim_order, Tensor.storage_offset, Tensor.data_ptr),
    *(Tensor.as_strided, torch.as_strided, Tensor.as_strided_, Tensor.set_, Tensor.untyped_storage),
}

_VIEW_OR_COPY = {
    *(Tensor.reshape, torch.reshape, Tensor.reshape_as, Tensor.flatten, torch.flatten, Tensor.contiguous),
    *(Tensor.ravel, torch.ravel),
}
"""Methods that give a view of a tensor or a copy, depending on how it lies in memory."""


def place_channels_last(model: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """Lay filters out channels-last, as most layers are faster (docs/benchmarks), and return the module.

    They stay row-major, as torch has them, where the module's forward works in that order alone: where it raises an
    error on channels-last values (as `x.view(len(x), -1)` does), asks how values lie, or writes into what is a view in
    one order and a copy in the other, and gives other logits. Such a module brings its images into that order first.
    Lazy layers must have their sizes.
    """
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    model.to(memory_format=torch.channels_last)
    run = _Run(model, image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
    if run.is_sound and (not run.writes_into_views or _gives_as_row_major(model, image, run)):
        return model
    if shape[0] > 1 or run.is_sound or not _Run(model, image).is_sound:
        model.to(memory_format=torch.contiguous_format)
    model.register_forward_pre_hook(_row_major)
    return model


def _gives_as_row_major(model: nn.Module, image: Tensor, run: "_Run") -> bool:
    """Return whether a module gives the logits of a run row-major too; then it is channels-last again."""
    model.to(memory_format=torch.contiguous_format)
    as_usual = _Run(model, image)
    is_like = as_usual.output is None or run.output is None or torch.allclose(as_usual.output, run.output, 1e-3, 1e-3)
    if is_like:
        model.to(memory_format=torch.channels_last)
    return is_like


def lies_channels_last(model: nn.Module) -> bool:
    """Return whether the module has filters that are channels-last and not row-major as well."""
    return any(tensor.dim() == 4 and not tensor.is_contiguous() for tensor in model.parameters())


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a module into eval mode inside the block; after it each submodule is in its own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module in model.modules():
            module.training = modes.get(module, model.training)


def _row_major(_model: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    # A clone, since images of one channel are contiguous in torch's eyes whatever their strides.
    return tuple(x.clone(memory_format=torch.contiguous_format) if isinstance(x, Tensor) else x for x in args)


class _Run:
    """A run of a module in eval mode: what it gave, a tensor or None, and what its forward did about memory."""

    @torch.no_grad()
    def __init__(self, model: nn.Module, image: Tensor) -> None:
        self.output: Tensor | None = None
        self._calls, self._ended = _Calls(), False
        with in_eval_mode(model):
            try:
                with self._calls:
                    given = model(image)
            except Exception:  # noqa: BLE001 - a forward raises what it likes; tracing runs it again and says what
                return
        self._ended, self.output = True, given if isinstance(given, Tensor) else None

    @property
    def is_sound(self) -> bool:
        """Whether it ended, and the forward did not ask how values lie in memory."""
        return self._ended and not self._calls.asks

    @property
    def writes_into_views(self) -> bool:
        """Whether it wrote into the result of a call that gives a view or a copy, as values lie."""
        return self._calls.writes


class _Calls(TorchFunctionMode):
    """Notes whether source outside of torch asks how a tensor lies in memory, or writes where that matters."""

    def __init__(self) -> None:
        super().__init__()
        self.asks = self.writes = False
        self._views: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _TELL_LAYOUT and not _caller().startswith(_TORCH):
            self.asks = True
        before = args[0]._version if args and id(args[0]) in self._views else None
        result = func(*args, **kwargs or {})
        if before is not None and args[0]._version != before:
            self.writes = True
        if func in _VIEW_OR_COPY or id(result) in self._views or (args and id(args[0]) in self._views):
            self._views |= {id(leaf): leaf for leaf in tree_leaves(result) if _has_version(leaf)}
        return result


def _has_version(value: object) -> bool:
    return isinstance(value, Tensor) and not value.is_inference()


def _caller() -> str:
    """Return the file whose code called the function that is being dispatched."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename == _DISPATCHING and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename
