"""Recomputation of those output channels of a layer that faults have hit, and their splicing into its golden output."""

from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 16
"""Channels are recomputed in blocks of this size: few shapes occur, and none has an incomplete last vector."""

ChannelIndex = NDArray[np.int64]
"""Indices of channels, ascending."""


class Splicer:
    """Recomputation of some output channels of a layer, used only where it gives the bits of the whole layer.

    A library may take another kernel for fewer channels, and that kernel may add up in another order. So some channels
    that were not hit are recomputed as well and compared with the golden output. If they differ, no output of that
    layer is spliced for this input shape and this number of channels.
    """

    def __init__(self) -> None:
        self._is_exact: dict[tuple[nn.Module, tuple[int, ...], int], bool] = {}

    def output(self, layer: nn.Conv2d | nn.Linear, x: Tensor, golden: Tensor, hit: ChannelIndex) -> Tensor | None:
        """Return the layer's output for x when only these channels, ascending, may differ from golden.

        It is golden itself if none of them differs, and None if splicing would not be exact.
        """
        computed = self.channels(layer, x, golden, hit)
        if computed is None:
            return None
        fresh, index = computed
        return golden.clone().index_copy_(1, index, fresh) if len(index) else golden

    def channels(
        self, layer: nn.Conv2d | nn.Linear, x: Tensor, golden: Tensor, hit: ChannelIndex
    ) -> tuple[Tensor, Tensor] | None:
        """Return the layer's output in the channels hit, and their indices; none if golden has their bits.

        None if splicing would not be exact.
        """
        n_channels = layer.weight.shape[0]
        if BLOCK * n_blocks(len(hit)) > n_channels:
            return None
        chosen = torch.from_numpy(_filled_up(hit, n_channels)).to(x.device)
        key = (layer, tuple(x.shape), len(chosen))
        if not self._is_exact.get(key, True):
            return None
        fresh, index = _some_channels(layer, x, chosen), chosen[: len(hit)]
        if key not in self._is_exact:
            others = channels_at(golden, chosen[len(hit) :])
            self._is_exact[key] = same_bits(fresh[:, len(hit) :], others)
            return self.channels(layer, x, golden, hit)
        fresh = fresh[:, : len(hit)]
        return (fresh[:, :0], index[:0]) if same_bits(fresh, channels_at(golden, index)) else (fresh, index)


def spliceable(layer: nn.Module | None) -> TypeGuard[nn.Conv2d | nn.Linear]:
    """Return whether each output channel of a layer is computed from its own filters and all of the input."""
    # A class derived from these may compute something else.
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros"
    return type(layer) is nn.Linear


def channels_of(tensor: Tensor, words: NDArray[np.int64]) -> ChannelIndex:
    """Return the output channels that words of a weight or a bias belong to, ascending."""
    return np.unique(words // (tensor.numel() // len(tensor)))


def channels_at(value: Tensor, index: Tensor) -> Tensor:
    """Return some channels of a value, in the value's memory layout."""
    # Along the second of four axes torch goes element by element: nine times as long where channels lie last.
    if value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last):
        return value.movedim(1, -1).index_select(-1, index).movedim(-1, 1)
    return value.index_select(1, index)


def n_blocks(n_hit: int) -> int:
    """Return the number of blocks to recompute for n_hit channels, so that at least one channel was not hit."""
    return n_hit // BLOCK + 1


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two float32 tensors of one shape hold the same bits."""
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


def _filled_up(hit: ChannelIndex, n_channels: int) -> ChannelIndex:
    """Return the channels hit, then as many others as make their number a multiple of BLOCK."""
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
