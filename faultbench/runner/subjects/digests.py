"""SHA-256 of what results depend on: images and weights."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from faultbench.datasets import Images

DIGESTED = 1000
"""Images put into a digest at once: all of them as float32 would take four times what they are kept in."""


def images_digest(images: Images) -> str:
    """SHA-256 of pixels, as float32, and labels, in hex."""
    sha = hashlib.sha256()
    for part in images.batches(DIGESTED):
        sha.update(part.pixels.numpy().tobytes())
    sha.update(images.labels.numpy().tobytes())
    return sha.hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values of tensors in the order of their names, in hex."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(name.encode())
        sha.update(tensor.detach().contiguous().numpy().tobytes())
    return sha.hexdigest()
