"""Log of the calls of torch in a run, with the user's line that makes each, to find where two runs differ."""

import linecache
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves

from faultbench.networks.agreement.rounding import distance, scale

_TORCH = f"{Path(torch.__file__).parent}{os.sep}"
_LONGEST_LINE = 80

_NEAR = 1e-4
"""Share of the largest value by which two runs may differ."""


@dataclass(frozen=True)
class Call:
    """Call of torch: its function, the line and module that make it, and the tensor that it returns."""

    function: str
    line: str
    """file:line: source; empty if no line of the user made the call."""
    module: str
    value: Tensor

    def __str__(self) -> str:
        place = f" at {self.line}" if self.line else ""
        return f"{self.function}{place} in {self.module}"


class _Recording(TorchFunctionMode):
    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self._paths = {id(module): path for path, module in root.named_modules()}
        self._types = {id(module): type(module).__name__ for module in root.modules()}
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
        if tensors:
            line, module = self._place(sys._getframe(1))
            name = (resolve_name(func) or getattr(func, "__name__", str(func))).removeprefix("torch.")
            self.calls += [Call(name, line, module, tensor.detach().clone()) for tensor in tensors]
        return result

    def _place(self, frame: FrameType | None) -> tuple[str, str]:
        """Return the innermost line of the user and the innermost module that lead to a frame."""
        line, module = "", ""
        while frame is not None and frame.f_code.co_filename != __file__ and not (line and module):
            owner = id(frame.f_locals.get("self"))
            if not module and owner in self._paths:
                path = self._paths[owner]
                module = f"{path} ({self._types[owner]})" if path else "the model itself"
            file, number = frame.f_code.co_filename, frame.f_lineno
            if not line and not file.startswith(_TORCH):
                line = f"{file}:{number}: {linecache.getline(file, number).strip()[:_LONGEST_LINE]}"
            frame = frame.f_back
        return line, module or "the model itself"


def calls(root: nn.Module, images: Tensor) -> list[Call]:
    """Return the calls that a run of a module makes, in order; up to the error if the run ends in one."""
    recording = _Recording(root)
    try:
        with torch.inference_mode(), recording:
            root(images.clone())
    except Exception:  # noqa: BLE001 - a user's code may raise anything, and what came before it is what is asked for
        return recording.calls
    return recording.calls


def first_not_in(own: Sequence[Call], others: Sequence[Call]) -> Call | None:
    """Return the first call whose values are not among the others, in this order; None if all are."""
    begin = 0
    for call in own:
        place = next((n for n in range(begin, len(others)) if _are_near(call.value, others[n].value)), None)
        if place is None:
            return call
        begin = place + 1
    return None


def first_apart(own: Sequence[Call], others: Sequence[Call], same: Callable[[Tensor, Tensor], bool]) -> Call | None:
    """Return the first call in whose place the other run makes another call, or gets other values."""
    for call, other in zip(own, others, strict=False):
        if (call.function, call.line, call.module) != (other.function, other.line, other.module):
            return call
        if not same(call.value, other.value):
            return call
    longer = max(own, others, key=len)
    return None if len(own) == len(others) else longer[min(len(own), len(others))]


def are_rows_alike(whole: Tensor, alone: Tensor, *, start: int, n_images: int) -> bool:
    """Return whether n_images images of a batch have the values that they have without the others.

    start is the index of the first of them in the batch.
    """
    if whole.shape == alone.shape:
        return _are_near(whole, alone)
    if whole.dim() != alone.dim():
        return False
    axis, *others = [d for d in range(whole.dim()) if whole.shape[d] != alone.shape[d]]
    n_values = alone.shape[axis] // n_images
    if others or whole.shape[axis] < (start + n_images) * n_values:
        return False
    return _are_near(whole.narrow(axis, start * n_values, n_images * n_values), alone)


def _are_near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and distance(a, b) <= _NEAR * max(scale(a), 1e-30)
