"""The first faulted layer of a run: only the output channels that were hit, put into its golden output."""

from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 16
"""Channels are recomputed in blocks of so many: the shapes met stay few, and none has a ragged last vector."""

Channels = NDArray[np.int64]


class Splicer:
    """Recomputes some output channels of a layer, bit for bit as the whole layer would, or says that it cannot.

    A library may take another kernel for fewer channels, and that may add up in another order. So channels that
    were not hit are recomputed beside those that were and held against the golden output: where they differ,
    no output of that layer is spliced for inputs of that shape and so many channels.
    """

    def __init__(self) -> None:
        self._exact: dict[tuple[nn.Module, tuple[int, ...], int], bool] = {}

    def output(self, layer: nn.Conv2d | nn.Linear, x: Tensor, golden: Tensor, hit: Channels) -> Tensor | None:
        """The layer's output for x when only these channels, ascending, may differ from golden.

        golden itself when none of them does; None where that would not be exact.
        """
        found = self.channels(layer, x, golden, hit)
        if found is None:
            return None
        fresh, where = found
        return golden.clone().index_copy_(1, where, fresh) if len(where) else golden

    def channels(
        self, layer: nn.Conv2d | nn.Linear, x: Tensor, golden: Tensor, hit: Channels
    ) -> tuple[Tensor, Tensor] | None:
        """What the layer gives in the channels hit, and which these are: none if golden has their bits.

        None where that would not be exact.
        """
        n_channels = layer.weight.shape[0]
        if BLOCK * n_blocks(len(hit)) > n_channels:
            return None
        chosen = torch.from_numpy(_with_others(hit, n_channels)).to(x.device)
        key = (layer, tuple(x.shape), len(chosen))
        if not self._exact.get(key, True):
            return None
        fresh, where = _some_channels(layer, x, chosen), chosen[: len(hit)]
        if key not in self._exact:
            others = channels_at(golden, chosen[len(hit) :])
            self._exact[key] = same_bits(fresh[:, len(hit) :], others)
            return self.channels(layer, x, golden, hit)
        fresh = fresh[:, : len(hit)]
        return (fresh[:, :0], where[:0]) if same_bits(fresh, channels_at(golden, where)) else (fresh, where)


def spliceable(layer: nn.Module | None) -> TypeGuard[nn.Conv2d | nn.Linear]:
    """Whether each output channel of a layer is computed from filters of its own and all of the input."""
    # A class derived from these may compute something else.
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros"
    return type(layer) is nn.Linear


def channels_of(tensor: Tensor, words: NDArray[np.int64]) -> Channels:
    """The output channels that words of a weight or a bias belong to, ascending."""
    return np.unique(words // (tensor.numel() // len(tensor)))


def channels_at(value: Tensor, where: Tensor) -> Tensor:
    """Some channels of a value, lying in memory as it does."""
    # Along the second of four axes torch goes element by element: nine times as long where channels lie last.
    if value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last):
        return value.movedim(1, -1).index_select(-1, where).movedim(-1, 1)
    return value.index_select(1, where)


def n_blocks(n_hit: int) -> int:
    """Blocks of channels recomputed for so many that were hit: at least one of the channels was not."""
    return n_hit // BLOCK + 1


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two float32 tensors of one shape hold the same bits."""
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


def _with_others(hit: Channels, n_channels: int) -> Channels:
    """The channels hit, then as many others as make it a multiple of BLOCK."""
    others = np.setdiff1d(np.arange(n_channels), hit, assume_unique=True)
    return np.concatenate([hit, others[: BLOCK * n_blocks(len(hit)) - len(hit)]])


def _some_channels(layer: nn.Conv2d | nn.Linear, x: Tensor, chosen: Tensor) -> Tensor:
    weight = layer.weight.index_select(0, chosen)
    bias = None if layer.bias is None else layer.bias.index_select(0, chosen)
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    if layer.weight.is_contiguous(memory_format=torch.channels_last):
        weight = weight.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation)
