"""LeNet-5 with ReLU and maximum pooling, as papers on fault tolerance use it."""

from collections import OrderedDict

from torch import nn

from faultbench.plugins.registry import model
from faultbench.system.errors import FaultbenchError

PADDINGS = {28: 2, 32: 0}
"""Side of an image → padding of the first convolution, which gives maps of 28×28 for either."""


@model("lenet5")
def lenet5(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """LeNet-5 for images of 28×28 or 32×32: 2 convolutions, 3 linear layers, 61,706 parameters on grey digits.

    The layers are those of Y. LeCun et al. (Proc. IEEE 86, 1998, fig. 2), with ReLU for tanh, maxima for trainable
    averages, all maps joined in the second convolution, and a linear layer for radial basis functions.
    """
    channels, height, width = shape
    if height != width or height not in PADDINGS:
        raise FaultbenchError(
            f"lenet5 takes images of 28×28 or 32×32; given {height}×{width}; digits_cnn takes small ones"
        )
    features = nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=PADDINGS[height]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    classifier = nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, n_classes))
    return nn.Sequential(OrderedDict(features=features, classifier=classifier))
