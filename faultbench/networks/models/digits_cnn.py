"""A small VGG-like network for the 8×8 digits."""

from collections import OrderedDict

from torch import nn

from faultbench.plugins.registry import model


@model("digits_cnn")
def digits_cnn(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Small VGG-like CNN for tiny images: 4 convolutions, 2 linear layers, 133 k parameters on digits."""
    channels, height, width = shape
    features = nn.Sequential(*_block(channels, 32), *_block(32, 64), nn.Flatten())
    n_features = 64 * (height // 4) * (width // 4)
    classifier = nn.Sequential(nn.Linear(n_features, 256), nn.ReLU(), nn.Linear(256, n_classes))
    return nn.Sequential(OrderedDict(features=features, classifier=classifier))


def _block(n_in: int, n_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
