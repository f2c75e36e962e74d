"""VGG-16 for 32×32 images (Simonyan and Zisserman, arXiv 1409.1556, configuration D)."""

from collections import OrderedDict
from collections.abc import Iterator

from torch import nn

from faultbench.networks.models.image_sizes import require_32x32
from faultbench.plugins.registry import model

CONFIGURATION_D = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of convolutions of each block; a 2×2 max-pool ends the block."""


@model("vgg16")
def vgg16(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """VGG-16 without batch norm for 32×32 images: 14.7 M parameters for up to 10 classes, 34.0 M for more."""
    return _vgg16("vgg16", shape, n_classes, batch_norm=False)


@model("vgg16_bn")
def vgg16_bn(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """VGG-16 with batch norm for 32×32 images."""
    return _vgg16("vgg16_bn", shape, n_classes, batch_norm=True)


def _vgg16(name: str, shape: tuple[int, int, int], n_classes: int, *, batch_norm: bool) -> nn.Module:
    require_32x32(name, shape)
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*_features(shape[0], batch_norm=batch_norm)),
            flatten=nn.Flatten(),
            classifier=_classifier(n_classes),
        )
    )


def _features(n_in: int, *, batch_norm: bool) -> Iterator[nn.Module]:
    for n_out, n_convolutions in CONFIGURATION_D:
        for _ in range(n_convolutions):
            yield nn.Conv2d(n_in, n_out, 3, padding=1)
            if batch_norm:
                yield nn.BatchNorm2d(n_out)
            yield nn.ReLU()
            n_in = n_out
        yield nn.MaxPool2d(2)


def _classifier(n_classes: int) -> nn.Module:
    """Build one linear layer for few classes, and three with dropout for many, as in the ProAct authors' code."""
    if n_classes <= 10:
        return nn.Linear(512, n_classes)
    return nn.Sequential(
        nn.Linear(512, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, n_classes),
    )
