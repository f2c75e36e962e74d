"""Channels that are recomputed alone have the bits of the whole layer, or the whole layer is run."""

import numpy as np
import pytest
import torch
from torch import nn

from faultbench.trials.staging.channel_splicing import BLOCK, Splicer, channels_at, channels_of, spliceable
from tests.builders.networks import same_bits, some_images
from tests.builders.staged_networks import Overwriting

LAYERS = {
    "3x3": (nn.Conv2d(32, 96, 3, padding=1), (8, 32, 6, 6)),
    "1x1": (nn.Conv2d(32, 96, 1, bias=False), (8, 32, 6, 6)),
    "strided": (nn.Conv2d(5, 64, 5, stride=2, dilation=2), (8, 5, 13, 13)),
    "linear": (nn.Linear(64, 128), (40, 64)),
}


@pytest.mark.parametrize("n_hit", [1, 2, 15, 16, 20])
@pytest.mark.parametrize("name", LAYERS)
@torch.inference_mode()
def test_spliced_outputs_are_those_of_the_whole_layer(name: str, n_hit: int) -> None:
    layer, shape = LAYERS[name]
    layer, x = layer.to(memory_format=torch.channels_last), some_images(shape[0], shape[1:])
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    golden, before = layer(x), layer.weight.clone()
    hit = np.sort(np.random.default_rng(n_hit).permutation(len(before))[:n_hit])
    layer.weight[torch.from_numpy(hit)] *= 1e6
    spliced, whole = Splicer().output(layer, x, golden, hit), layer(x)
    layer.weight.copy_(before)
    assert spliced is not None
    assert same_bits(spliced, whole)
    assert not same_bits(spliced, golden)
    assert Splicer().output(layer, x, golden, hit) is golden


@torch.inference_mode()
def test_nothing_is_spliced_if_channels_that_were_not_hit_get_other_bits() -> None:
    layer, x = nn.Linear(64, 64), torch.rand(20, 64)
    golden = layer(x)
    golden[3, 7] = golden[3, 7].nextafter(torch.tensor(9.0))
    splicer = Splicer()
    assert splicer.output(layer, x, golden, np.array([2])) is None
    assert splicer.output(layer, x, layer(x), np.array([2])) is None  # it is not tried again


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4, 2), (3, 5, 1, 1), (1, 1, 4, 4)])
@pytest.mark.parametrize("is_last", [False, True])
def test_channels_of_a_value_are_the_same_however_it_lies_and_lie_as_it_does(shape: tuple[int, ...], is_last: bool):
    value = torch.arange(float(np.prod(shape))).view(shape)
    if is_last and value.dim() == 4:
        value = value.contiguous(memory_format=torch.channels_last)
    where = torch.tensor([0, 3] if shape[1] > 3 else [0])
    found = channels_at(value, where)
    assert torch.equal(found, value.index_select(1, where))
    assert found.dim() < 4 or not is_last or found.is_contiguous(memory_format=torch.channels_last)


def test_channels_are_those_of_the_words_hit() -> None:
    weight = torch.zeros(4, 3, 2, 2)
    assert channels_of(weight, np.array([0, 11, 12, 47])).tolist() == [0, 1, 3]
    assert channels_of(torch.zeros(4), np.array([1, 1, 3])).tolist() == [1, 3]


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.ConvTranspose2d(4, 4, 3)],
)
def test_layers_whose_channels_do_not_stand_alone_are_run_whole(layer: nn.Module) -> None:
    assert not spliceable(layer)
    assert not spliceable(Overwriting(BLOCK, BLOCK))
    assert spliceable(nn.Linear(2, 2))
