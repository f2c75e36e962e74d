"""ResNet-50 for 32×32 images: bottlenecks behind a 3×3 stem without pooling (kuangliu's CIFAR variant)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.models.image_sizes import require_32x32
from faultbench.plugins.registry import model

EXPANSION = 4
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, number of bottlenecks and stride of each stage."""


@model("resnet50")
def resnet50(shape: tuple[int, int, int], n_classes: int, *, protect_stem: bool = True) -> nn.Module:
    """ResNet-50 for 32×32 images, 23.5 M parameters; protect_stem: false leaves the stem's activation unbounded."""
    require_32x32("resnet50", shape)
    return ResNet50(shape[0], n_classes, protect_stem=protect_stem)


class ResNet50(nn.Module):
    """A 3×3 stem, four stages of bottlenecks, average pooling and a linear classifier."""

    def __init__(self, n_in: int, n_classes: int, *, protect_stem: bool) -> None:
        super().__init__()
        self.protect_stem = protect_stem
        self.conv1 = nn.Conv2d(n_in, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages, n_channels = [], 64
        for width, n_blocks, stride in STAGES:
            stages.append(_stage(n_channels, width, n_blocks, stride))
            n_channels = EXPANSION * width
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(n_channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [n, classes] of images [n, channels, 32, 32]."""
        x = self.bn1(self.conv1(x))
        # This equals a ReLU but is no activation site: the released code does not protect the stem either.
        x = F.relu(x) if self.protect_stem else torch.where(x < 0, 0.0, x)
        x = F.avg_pool2d(self.stages(x), 4)
        return self.linear(torch.flatten(x, 1))  # type: ignore[no-any-return]  # nn.Module calls are untyped


class Bottleneck(nn.Module):
    """1×1, 3×3 (strided) and 1×1 convolutions beside a shortcut that is projected where shapes differ."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = EXPANSION * width
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return feature maps [n, 4·width, h/stride, w/stride] for feature maps [n, n_in, h, w]."""
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        return F.relu(self.bn3(self.conv3(branch)) + self.shortcut(x))


def _stage(n_in: int, width: int, n_blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(EXPANSION * width, width, 1) for _ in range(n_blocks - 1))
    return nn.Sequential(Bottleneck(n_in, width, stride), *rest)
