"""Every parameter and buffer that inference reads is in memory, of the kind that it acts as."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

from faultbench.networks.network import Network
from faultbench.networks.stored.memory_reads import unfelt_tensors
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import N_CLASSES, SHAPE, randomise, same_bits, some_images


class Classifier(nn.Module):
    """What stands between a convolution and a linear layer, with values of its own everywhere."""

    def __init__(self, middle: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.conv, self.middle, self.linear = nn.Conv2d(1, 4, 3, padding=1), middle, nn.Linear(width * 36, N_CLASSES)
        randomise(self, seed=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.relu(self.middle(self.conv(x))).flatten(1))


class Own(nn.Module):
    """A module of somebody's own: its tensors, and what it does with them."""

    def __init__(self, step: Callable[["Own", Tensor], Tensor], **attributes: object) -> None:
        super().__init__()
        for name, value in attributes.items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x)


class OwnNorm(Own):
    pass


@torch.fx.wrap
def wrapped_conv(x: Tensor, kernel: Tensor, shift: Tensor) -> Tensor:
    return F.conv2d(x, kernel, shift, padding=1)


@torch.fx.wrap
def scaled(x: Tensor, by: Tensor, weight: Tensor) -> Tensor:
    return x * by @ weight


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(*shape))


def kinds(middle: nn.Module) -> dict[str, str]:
    """Name within the middle → kind, of a classifier whose graph gives its logits and feels every stored tensor."""
    model, images = Classifier(middle).eval(), some_images()
    network = trace(model, SHAPE)
    with torch.no_grad():
        assert same_bits(network.copy()(images), model(images))
    assert not unfelt_tensors(network, images, {item.name: item.tensor for item in network.parameters()})
    found = {item.name: item.kind for item in network.parameters()}
    assert [found.pop(name) for name in ("conv.weight", "linear.weight")] == ["weights"] * 2
    return {
        name.removeprefix("middle."): kind for name, kind in found.items() if name.startswith(("middle", "_tensor"))
    }


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.BatchNorm2d(4), ["norm_parameters"] * 2 + ["norm_statistics"] * 2),
        (
            nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            ["norm_parameters"] * 2 + ["norm_statistics"] * 2,
        ),
        (nn.InstanceNorm2d(4), []),
        (nn.GroupNorm(2, 4), ["norm_parameters"] * 2),
        (nn.LayerNorm([4, 6, 6]), ["norm_parameters"] * 2),
        (nn.RMSNorm([4, 6, 6]), ["norm_parameters"]),
        (nn.LocalResponseNorm(2), []),
        (nn.PReLU(4), ["others"]),
        (nn.ConvTranspose2d(4, 4, 1), ["weights", "biases"]),
        (nn.Linear(6, 6), ["weights", "biases"]),
    ],
    ids=str,
)
def test_layers_of_torch_keep_what_their_documentation_says(layer: nn.Module, expected: list[str]) -> None:
    assert list(kinds(layer).values()) == expected


WEIGHT, BIAS = (4, 4, 3, 3), (4,)
CONSTANT = "_tensor_constant0"
"""What torch.fx calls a tensor that no module registers."""


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        (
            Own(
                lambda m, x: F.conv2d(x, m.weight, m.bias, padding=1), weight=parameter(*WEIGHT), bias=parameter(*BIAS)
            ),
            {"weight": "weights", "bias": "biases"},
        ),
        (
            Own(lambda m, x: F.conv2d(x, weight=m.k, bias=m.b, padding=1), k=parameter(*WEIGHT), b=parameter(*BIAS)),
            {"k": "weights", "b": "biases"},
        ),
        (
            Own(lambda m, x: F.conv2d(x, m.k, padding=1) + m.b.view(1, -1, 1, 1), k=parameter(*WEIGHT), b=parameter(4)),
            {"k": "weights", "b": "biases"},
        ),
        (
            Own(lambda m, x: F.conv2d(x, m.k * m.mask, padding=1), k=parameter(*WEIGHT), mask=torch.ones(*WEIGHT)),
            {"k": "weights", "mask": "others"},
        ),
        (
            Own(lambda m, x: F.conv2d(x, (m.k - m.k.mean()) / m.k.std(), padding=1), k=parameter(*WEIGHT)),
            {"k": "weights"},
        ),
        (
            Own(lambda m, x: F.linear(F.linear(x, m.down), m.up) + x, down=parameter(2, 6), up=parameter(6, 2)),
            {"down": "weights", "up": "weights"},
        ),
        (Own(lambda m, x: x @ m.w + m.b, w=parameter(6, 6), b=parameter(6)), {"w": "weights", "b": "biases"}),
        (Own(lambda m, x: torch.einsum("nchw,cd->ndhw", x, m.w), w=parameter(4, 4)), {"w": "weights"}),
        (Own(lambda m, x: F.conv2d(x, m.w, padding=1), w=torch.ones(*WEIGHT)), {"w": "weights"}),
        (Own(lambda m, x: x * m.scale, scale=parameter(4, 1, 1)), {"scale": "others"}),
        (Own(lambda m, x: x + m.position, position=parameter(4, 6, 6)), {"position": "others"}),
        (Own(lambda m, x: F.prelu(x, m.slope), slope=parameter(4)), {"slope": "others"}),
        (
            Own(lambda m, x: (x - m.mean) / m.std, mean=torch.ones(4, 1, 1), std=torch.ones(4, 1, 1)),
            {"mean": "others", "std": "others"},
        ),
        (
            Own(lambda m, x: F.layer_norm(x, (6,), m.weight, m.bias), weight=parameter(6), bias=parameter(6)),
            {"weight": "norm_parameters", "bias": "norm_parameters"},
        ),
        (
            Own(lambda m, x: F.batch_norm(x, m.mu, m.var), mu=torch.zeros(4), var=torch.ones(4)),
            {"mu": "norm_statistics", "var": "norm_statistics"},
        ),
        (
            OwnNorm(lambda m, x: x * x.square().mean((1, 2, 3), keepdim=True).rsqrt() * m.gain, gain=parameter(6)),
            {"gain": "norm_parameters"},
        ),
        (
            Own(lambda m, x: x + m.table[m.index], table=parameter(9), index=torch.arange(6)),
            {"table": "others", "index": "integers"},
        ),
        (
            Own(lambda m, x: wrapped_conv(x, m.k, m.b), k=parameter(*WEIGHT), b=parameter(4)),
            {"k": "weights", "b": "biases"},
        ),
        (
            Own(lambda m, x: scaled(x, m.a, weight=m.w), a=parameter(6), w=parameter(6, 6)),
            {"a": "others", "w": "weights"},
        ),
        (Own(lambda m, x: x * m.wide.shape[0], wide=parameter(6)), {}),
        (Own(lambda m, x: x.to(m.wide.dtype) * m.wide.stride(0), wide=parameter(6)), {}),
        (Own(lambda m, x: x @ m.w.T, w=parameter(6, 6)), {"w": "weights"}),
        (Own(lambda m, x: x @ m.w.mT, w=torch.ones(6, 6)), {"w": "weights"}),
        (
            Own(lambda m, x: F.conv2d(x, m.k.data, m.b.data, padding=1), k=parameter(*WEIGHT), b=parameter(*BIAS)),
            {"k": "weights", "b": "biases"},
        ),
        (Own(lambda m, x: x * m.scale.real, scale=parameter(4, 1, 1)), {"scale": "others"}),
        (
            Own(lambda m, x: F.linear(x + m.embed(torch.arange(6)), m.embed.weight), embed=nn.Embedding(6, 6)),
            {"embed.weight": "weights"},
        ),
        (
            FrozenBatchNorm2d(4),
            {
                **dict.fromkeys(("weight", "bias"), "norm_parameters"),
                **dict.fromkeys(("running_mean", "running_var"), "norm_statistics"),
            },
        ),
        (Own(lambda m, x: F.conv2d(x, m.filters[0], padding=1), filters=[torch.ones(*WEIGHT)]), {CONSTANT: "weights"}),
        (Own(lambda m, x: torch.where(m.mask, x, 0.0), mask=torch.ones(6) > 0), {"mask": "integers"}),
    ],
)
def test_tensors_of_modules_of_ones_own_are_of_the_kind_that_they_act_as(
    middle: nn.Module, expected: dict[str, str]
) -> None:
    assert kinds(middle) == expected


def packed() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 6)), {nn.Linear}, dtype=torch.qint8)


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return nn.Conv2d(4, 4, 1)


@pytest.mark.filterwarnings("ignore:.*quant", "ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (packed, r"^middle\.0\._packed_params, LinearPackedParams, keeps packed, quantised or frozen weights"),
        (lambda: torch.jit.freeze(torch.jit.script(nn.Conv2d(4, 4, 1).eval())), "^middle, .*Module, keeps packed"),
        (lambda: torch.compile(nn.Conv2d(4, 4, 1), backend="eager"), "^middle is compiled, which hides"),
        (lambda: nn.DataParallel(nn.Conv2d(4, 4, 1)), r"^middle is DataParallel, which hides .*; give its `\.module`"),
        (on_meta, r"^middle\.weight is on the device meta"),
    ],
)
def test_weights_that_cannot_be_reached_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    model = Classifier(nn.Identity())
    model.middle = make()
    with pytest.raises(FaultbenchError, match=message):
        trace(model, SHAPE)


def test_what_no_logit_depends_on_is_not_in_memory() -> None:
    class WithHead(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Identity())
            self.unused, self.head = nn.Linear(3, 3), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            features = self.conv(x)
            self.head(features)
            return self.linear(F.relu(features).flatten(1))

    names = [item.name for item in trace(WithHead(), SHAPE).parameters()]
    assert names == ["conv.weight", "conv.bias", "linear.weight", "linear.bias"]


def test_a_site_behind_a_convolution_of_ones_own_is_fed_by_it() -> None:
    middle = Own(lambda m, x: F.conv2d(x, m.k, padding=1), k=parameter(*WEIGHT))
    (site,) = trace(Classifier(middle), SHAPE).sites
    assert (site.feeding, site.channel_axis) == (("middle",), 0)


def test_a_tensor_of_the_network_itself_is_its_own_owner() -> None:
    class Tokens(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Identity())
            self.token = parameter(4, 6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(F.relu(self.conv(x) + self.token).flatten(1))

    assert [item.owner for item in trace(Tokens(), SHAPE).parameters() if item.kind == "others"] == ["token"]


def numbers(network: Network) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in network.parameters():
        found[item.kind] = found.get(item.kind, 0) + item.tensor.numel()
    return found


@pytest.mark.parametrize(
    ("name", "others", "integers"),
    [
        ("vit_b_32", 3 * 768, 0),  # a class token and places of two tokens
        # A bias for each of 13×13 offsets and each head, in 2, 2, 6, 2 blocks; an index for each pair of 49 places.
        ("swin_t", 169 * (2 * 3 + 2 * 6 + 6 * 12 + 2 * 24), 12 * 49 * 49),
    ],
)
def test_all_of_a_transformer_lies_in_memory(name: str, others: int, integers: int) -> None:
    model = registry.build("model", f"torchvision:{name}", {}, shape=(3, 32, 32), n_classes=5)
    network = trace(model, (3, 32, 32))
    found = numbers(network)
    assert (found["others"], found.get("integers", 0)) == (others, integers)
    assert sum(found.values()) - integers == sum(p.numel() for p in model.parameters())
