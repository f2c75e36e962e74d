"""ResNets for 32×32 images (He et al., CVPR 2016, arXiv 1512.03385, section 4.2) with option-A shortcuts."""

from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.models.image_sizes import require_32x32
from faultbench.plugins.registry import model


@model("resnet20")
def resnet20(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """ResNet-20 for 32×32 images: 3 stages of 3 basic blocks, parameter-free shortcuts, 0.27 M parameters."""
    return ResNet("resnet20", shape, n_classes, n_blocks=3)


@model("resnet32")
def resnet32(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """ResNet-32 for 32×32 images: 3 stages of 5 basic blocks, parameter-free shortcuts, 0.46 M parameters."""
    return ResNet("resnet32", shape, n_classes, n_blocks=5)


@model("resnet44")
def resnet44(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """ResNet-44 for 32×32 images: 3 stages of 7 basic blocks, parameter-free shortcuts, 0.66 M parameters."""
    return ResNet("resnet44", shape, n_classes, n_blocks=7)


@model("resnet56")
def resnet56(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """ResNet-56 for 32×32 images: 3 stages of 9 basic blocks, parameter-free shortcuts, 0.85 M parameters."""
    return ResNet("resnet56", shape, n_classes, n_blocks=9)


class ResNet(nn.Module):
    """6·n_blocks + 2 weighted layers: a stem, three stages of 16, 32 and 64 channels, a linear classifier.

    Module names are those of the public akamaster checkpoints.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], n_classes: int, *, n_blocks: int) -> None:
        super().__init__()
        require_32x32(name, shape)
        self.conv1 = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, n_blocks)
        self.layer2 = _stage(16, 32, n_blocks)
        self.layer3 = _stage(32, 64, n_blocks)
        self.linear = nn.Linear(64, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [n, classes] of images [n, channels, 32, 32]."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]  # nn.Module calls are untyped


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut that subsamples and pads with zero channels (option A)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.stride = n_out // n_in
        self.n_padding = (n_out - n_in) // 2
        self.conv1 = nn.Conv2d(n_in, n_out, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return feature maps [n, n_out, h/stride, w/stride] for feature maps [n, n_in, h, w]."""
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return F.relu(branch + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        if not self.n_padding:
            return x
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.n_padding, self.n_padding))


def _stage(n_in: int, n_out: int, n_blocks: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(n_in, n_out), *(BasicBlock(n_out, n_out) for _ in range(n_blocks - 1)))
