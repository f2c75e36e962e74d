"""Sample images on which a model and the graph recorded of it are compared."""

import torch
from torch import Tensor

from faultbench.system.torch_streams import torch_generator

N_IMAGES = 8
N_HEAVY = 3
"""Number of images for a heavy network, which takes long for each."""

HEAVY = 1e10
"""Weights times pixels of an image above which a network is heavy: VGG-16 has 1.5e10 on images of 32×32, ResNet-20
3e8."""

N_COMPARED = N_IMAGES // 2
"""Number of sample images that come from the data set, if there are any."""

ALONE = (slice(0, 1), slice(1, 3), slice(3, 8))
"""Groups of the sample images that run again as smaller batches."""


def sampled(shape: tuple[int, int, int], n_weights: int, given: Tensor | None = None) -> Tensor:
    """Return sample images for a network of n_weights weights: random ones, of 0 to 1 and of both signs by turns.

    If images are given, the second half are the first of these. The same arguments give the same images.
    """
    _, height, width = shape
    n_images = N_HEAVY if n_weights * height * width > HEAVY else N_IMAGES
    stream = torch_generator("images that a graph and its model are compared on", shape)
    images = torch.randn(n_images, *shape, generator=stream)
    images[::2] = torch.rand(images[::2].shape, generator=stream)
    if given is not None:
        n_given = min(n_images * N_COMPARED // N_IMAGES, len(given))
        images[n_images - n_given :] = given[:n_given]
    return images
