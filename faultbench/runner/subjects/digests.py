"""SHA-256 of images and tensors, on which results depend."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from faultbench.datasets import Images

N_TOGETHER = 1000
"""Number of images hashed at once: all of them as float32 would take four times the memory that they are kept in."""


def images_digest(images: Images) -> str:
    """Return the SHA-256 of pixels, as float32, and labels, in hex."""
    sha = hashlib.sha256()
    for part in images.batches(N_TOGETHER):
        sha.update(part.pixels.numpy().tobytes())
    sha.update(images.labels.numpy().tobytes())
    return sha.hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names and values of tensors in the order of their names, in hex."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(name.encode())
        sha.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
