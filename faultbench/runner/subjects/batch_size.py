"""Number of images per forward pass, from the size of a network and the kind of device."""

import math

from faultbench.networks.network import Network
from faultbench.system.devices import Device

BATCH = 64
LARGE_BATCH = 256
"""Images per forward pass: activations of a small batch stay in the caches; large weights pay off with more images."""

CARD_MACS = 2e11
CARD_BATCHES = (64, 2048)
"""Multiply-accumulates of a forward pass that keep a card busy, and the fewest and most images of a pass."""

HEAVY = 0.1
"""Weights per multiply-accumulate of an image from which on a network takes the large batch."""


def images_per_pass(network: Network, shape: tuple[int, int, int], device: Device) -> int:
    """Return the images per forward pass that keep a processor's caches, or a card, well used."""
    macs = network.macs(shape)
    if device == "cuda":
        fewest, most = CARD_BATCHES
        return min(max(1 << round(math.log2(CARD_MACS / macs)), fewest), most)
    return LARGE_BATCH if n_weights(network) > HEAVY * macs else BATCH


def n_weights(network: Network) -> int:
    """Return the number of weights of a network, without its biases, statistics and bounds."""
    return sum(item.tensor.numel() for item in network.parameters() if item.kind == "weights")
