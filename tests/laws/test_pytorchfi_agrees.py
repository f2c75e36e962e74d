"""PyTorchFI 0.6.0 as a second opinion: the same flips give the same logits, bit for bit."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pytorchfi.core import fault_injection
from torch import Tensor, nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.codec import Codec, quantised
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32
from faultbench.memory.injection import inject_faults

SHAPE = [2, 6, 6]


def flipped_in_q15_16(value: float, mask: int) -> float:
    """The value whose 32-bit two's complement word of 1/65536ths has the bits in mask inverted."""
    word = (int(value * 65536) % 2**32) ^ mask
    return (word - 2**32 if word >= 2**31 else word) / 65536


def flipped_in_float32(value: float, mask: int) -> float:
    """The value whose IEEE 754 single word has the bits in mask inverted."""
    (word,) = struct.unpack("<I", struct.pack("<f", value))
    (flipped,) = struct.unpack("<f", struct.pack("<I", word ^ mask))
    return float(flipped)


FORMATS = [
    pytest.param(FixedPoint(15, 16), flipped_in_q15_16, id="q15.16"),
    pytest.param(Float32(), flipped_in_float32, id="float32"),
]


def small_network(codec: Codec) -> nn.Sequential:
    """Two convolutions and a linear layer with stored weights, in eval mode."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(11)
        network = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)
        )
        for parameter in network.parameters():
            parameter.copy_(quantised(codec, parameter))
    return network.eval()


def weights_of(network: nn.Module, codec: Codec) -> FaultSpace:
    """PyTorchFI injects into weights only, by number of the layer."""
    named = network.named_parameters()
    return FaultSpace([StoredTensor(name, tensor, codec) for name, tensor in named if name.endswith("weight")])


def faults_for_pytorchfi(space: FaultSpace, fault_map: FaultMap) -> tuple[dict[str, list[Any]], Iterator[int]]:
    """Each word hit as its layer's number and four indices (a linear weight has two), and its mask.

    Counted off word by word, so that `FaultSpace.locate` gets a second opinion too.
    """
    words = [(layer, *place) for layer, item in enumerate(space.stored) for place in np.ndindex(*item.tensor.shape)]
    masks: dict[tuple[int, ...], int] = {}
    for word, bit in (divmod(address, 32) for address in fault_map.addresses.tolist()):
        masks[words[word]] = masks.get(words[word], 0) | 1 << bit
    columns = zip(*((*place, None, None)[:5] for place in masks), strict=True)
    places = dict(zip(("layer_num", "k", "dim1", "dim2", "dim3"), map(list, columns), strict=True))
    return places, iter(masks.values())


def logits_of_pytorchfi(
    network: nn.Module,
    space: FaultSpace,
    fault_map: FaultMap,
    flipped: Callable[[float, int], float],
    images: Tensor,
) -> Tensor:
    places, masks = faults_for_pytorchfi(space, fault_map)
    injector = fault_injection(network, len(images), input_shape=SHAPE, layer_types=[nn.Conv2d, nn.Linear])
    corrupted: nn.Module = injector.declare_weight_fi(
        function=lambda weight, index: flipped(weight[index].item(), next(masks)), **places
    )
    with torch.inference_mode():
        logits: Tensor = corrupted(images)
    assert next(masks, None) is None  # PyTorchFI has made use of every one
    return logits


def bits_of(logits: Tensor) -> Tensor:
    return logits.view(torch.int32)


# The convolutions hold words 0-53 and 54-161, the linear layer 162-241. Word 4 is hit twice.
HAND_PICKED = [(4, 3), (4, 17), (30, 16), (54, 12), (161, 18), (162, 15), (241, 31)]


@pytest.mark.parametrize(("codec", "flipped"), FORMATS)
@pytest.mark.parametrize("seed", [None, 0, 1, 2], ids=["hand-picked", "seed 0", "seed 1", "seed 2"])
def test_pytorchfi_fed_with_our_map_gives_bit_identical_logits(
    codec: Codec, flipped: Callable[[float, int], float], seed: int | None
) -> None:
    network = small_network(codec)
    space = weights_of(network, codec)
    images = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1))
    addresses = np.array([word * 32 + bit for word, bit in HAND_PICKED])
    if seed is not None:
        addresses = np.sort(np.random.default_rng(seed).choice(space.n_bits, size=25, replace=False))
    with torch.inference_mode():
        golden = network(images)
    theirs = logits_of_pytorchfi(network, space, FaultMap(addresses), flipped, images)
    with torch.inference_mode(), inject_faults(space, FaultMap(addresses)):
        ours = network(images)
    assert torch.equal(bits_of(ours), bits_of(theirs))
    assert not torch.equal(bits_of(ours), bits_of(golden))
