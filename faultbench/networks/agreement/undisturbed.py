"""Runs of a model that leave it as it was: its state and all random streams are restored."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes that torch keeps in every module: parameters, hooks and the like, which stay as they are."""


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore the model and all random streams after the block, however it ends; writes into weights stay.

    Restored are buffers, training flags and attributes of every module, and the streams of torch, numpy and random.
    """
    states = [_State.of(module) for module in model.modules()]
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - the stream that a model draws from
    try:
        with torch.random.fork_rng(devices=_cards(model)):
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002 - see above
        random.setstate(of_python)
        for state in states:
            state.put_back()


def random_streams() -> dict[str, bytes]:
    """Return the states of the random streams that a process shares, by library."""
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(np.random.get_state(legacy=False)).encode(),  # noqa: NPY002 - see above
        "random": repr(random.getstate()).encode(),
    }


def _cards(model: nn.Module) -> set[torch.device]:
    """Return the cards whose random streams a run of the model may draw from."""
    return {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}


@dataclass(frozen=True)
class _State:
    """State of one module that a forward may change."""

    module: nn.Module
    training: bool
    attributes: dict[str, Any]
    contents: dict[str, Any]
    """Copies of the attributes that are containers, since caches are filled in place."""
    buffers: dict[str, Tensor]
    values: dict[str, Tensor]

    @classmethod
    def of(cls, module: nn.Module) -> "_State":
        """Return the state of a module as it is now."""
        own = {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
        contents = {name: copy.copy(value) for name, value in own.items() if type(value) in (dict, list, set)}
        buffers = dict(module.named_buffers(recurse=False))
        values = {name: buffer.detach().clone() for name, buffer in buffers.items()}
        return cls(module, module.training, own, contents, buffers, values)

    @torch.no_grad()
    def put_back(self) -> None:
        """Make the module's state this one again."""
        module = self.module
        module.training = self.training
        for name in set(vars(module)) - _OF_TORCH - set(self.attributes):
            del module.__dict__[name]
        module.__dict__.update(self.attributes)
        for name, content in self.contents.items():
            _refill(self.attributes[name], content)
        if not isinstance(module, torch.jit.ScriptModule):  # which lets nobody replace one
            for name in set(module._buffers) - set(self.buffers):
                module._buffers[name] = None
            module._buffers.update(self.buffers)
        for name, value in self.values.items():
            _put_back(self.buffers[name], value)


def _put_back(buffer: Tensor, value: Tensor) -> None:
    if buffer.shape != value.shape:  # observers of quantisation change it
        buffer.data = value
    elif not torch.equal(buffer, value):
        buffer.copy_(value)


def _refill(container: Any, content: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)
