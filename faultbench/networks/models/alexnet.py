"""AlexNet for 32×32 images, in the two variants of the ProAct authors' released code; no batch norm."""

from collections import OrderedDict

from torch import nn

from faultbench.networks.models.image_sizes import require_32x32
from faultbench.plugins.registry import model


@model("alexnet")
def alexnet(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """AlexNet for 32×32 images: 23.3 M parameters for up to 10 classes, 20.5 M and dropout for more."""
    require_32x32("alexnet", shape)
    return _few_classes(shape[0], n_classes) if n_classes <= 10 else _many_classes(shape[0], n_classes)


def _few_classes(n_in: int, n_classes: int) -> nn.Module:
    features = [
        *_convolution(n_in, 64, stride=2),
        nn.MaxPool2d(2),
        *_convolution(64, 192, padding=2),
        nn.MaxPool2d(2),
        *_deep_convolutions(),
        nn.MaxPool2d(2),
    ]
    classifier = [nn.Linear(1024, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, n_classes)]
    return _assembled(features, classifier)


def _many_classes(n_in: int, n_classes: int) -> nn.Module:
    features = [
        *_convolution(n_in, 64, stride=2),
        nn.MaxPool2d(3, 2),
        *_convolution(64, 192),
        nn.MaxPool2d(3, 2),
        *_deep_convolutions(),
        nn.MaxPool2d(3, 2),
    ]
    return _assembled(features, _wide_classifier(n_classes))


def _wide_classifier(n_classes: int) -> list[nn.Module]:
    return [
        nn.Dropout(0.5),
        nn.Linear(256, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, n_classes),
    ]


def _deep_convolutions() -> list[nn.Module]:
    return [*_convolution(192, 384), *_convolution(384, 256), *_convolution(256, 256)]


def _convolution(n_in: int, n_out: int, *, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, stride, padding), nn.ReLU()]


def _assembled(features: list[nn.Module], classifier: list[nn.Module]) -> nn.Module:
    return nn.Sequential(
        OrderedDict(features=nn.Sequential(*features), flatten=nn.Flatten(), classifier=nn.Sequential(*classifier))
    )
