"""Tests of networks that compute with the sizes of their values: those that no batch changes are numbers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.tracing.trace import trace
from tests.builders.networks import refused, same_bits

SHAPE = (2, 8, 6)


class Net(nn.Module):
    """A convolution and a linear layer; subclasses say what stands between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(2, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(F.relu(self.conv(x)))
        return self.last(x.mean((2, 3)))

    def between(self, x: Tensor) -> Tensor:
        return x


class AssertedChannels(Net):
    def between(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 8, f"{x.shape[1]:d} channels"
        assert (x.ndim, x.dim(), len(x.shape)) == (4, 4, 4)
        torch._assert(x.shape[-1] == 6, f"{x.shape[-1]:03d} columns of {x.shape}")
        return x


class MadeOfSizes(Net):
    def between(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return x + torch.zeros(b, c, h, w) + torch.ones((b, 1, 1, 1)) + torch.full((x.size(0), c, 1, 1), 0.5)


class LoopOverRows(Net):
    def between(self, x: Tensor) -> Tensor:
        return torch.stack([(row + 1) * x[:, :, row] for row in range(x.shape[2])], dim=2)


class LoopOverTensor(Net):
    def between(self, x: Tensor) -> Tensor:
        return torch.stack([2 * row for row in x.permute(2, 0, 1, 3)], dim=2)


class Padded(Net):
    def between(self, x: Tensor) -> Tensor:
        h, w = x.size()[-2:]
        if h % 3:
            x = F.pad(x, (0, 0, 0, 3 - h % 3))
        if w % 3:
            x = x * 0
        return x


class UnpackedRest(Net):
    def between(self, x: Tensor) -> Tensor:
        first, *rest = x.split(2, dim=1)
        assert len(rest) == len(x.chunk(4, dim=1)) - 1
        return torch.cat([2 * first, *rest], dim=1)


class NumberOfValues(Net):
    def between(self, x: Tensor) -> Tensor:
        n_values = x[0].numel()
        assert x.shape[1:].numel() == n_values
        scale = n_values**-0.5 if n_values > 10 else 1.0
        return x.reshape(-1, n_values).view(x.shape) * scale * (x.shape.numel() // x.numel())


class WrittenParts(Net):
    def between(self, x: Tensor) -> Tensor:
        b, c, *size = x.shape
        out = torch.zeros(b, c + 2, *size)
        out[:, :c] = x
        return out[:, :8]


TRACED = (
    AssertedChannels,
    MadeOfSizes,
    LoopOverRows,
    LoopOverTensor,
    Padded,
    UnpackedRest,
    NumberOfValues,
    WrittenParts,
)


@pytest.mark.parametrize("build", TRACED, ids=lambda build: build.__name__)
def test_sizes_that_no_batch_changes_are_known(build: type[Net]) -> None:
    model = build()
    network = trace(model, SHAPE)
    for n_images in (1, 2, 7):
        images = torch.randn(n_images, *SHAPE)
        with torch.inference_mode():
            assert torch.allclose(network(images), model(images), rtol=1e-5, atol=1e-6)


class BranchOnBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + 1 if x.shape[0] > 1000 else x


class LoopOverBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return torch.stack([2 * image for image in x])


class RangeOfBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return torch.stack([x[number] for number in range(len(x))])


class FoldedBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        return x if rows.shape[0] % 8 == 0 else 2 * x


class SameShape(Net):
    def between(self, x: Tensor) -> Tensor:
        return x if x.shape == (2 * x).shape else 2 * x


@pytest.mark.parametrize("build", [BranchOnBatch, LoopOverBatch, RangeOfBatch, FoldedBatch, SameShape])
def test_what_depends_on_the_number_of_images_is_refused(build: type[Net]) -> None:
    message = refused(build(), SHAPE)
    assert "cannot be traced by torch.fx" in message
    assert "on the number of images" in message


class SampledRows(Net):
    """The number of every fourth image's rows is one for two and for three images, but not for more."""

    def between(self, x: Tensor) -> Tensor:
        return x * x[::4].shape[0]


def test_a_size_that_only_seems_to_be_known_is_found_by_the_agreement() -> None:
    assert "SampledRows" in refused(SampledRows(), SHAPE)


def test_sizes_that_nothing_reads_leave_no_step_in_the_graph() -> None:
    network = trace(AssertedChannels(), SHAPE)
    assert not any(node.target is getattr for node in network.graph.graph.nodes)


class Hooked(Net):
    """Its convolution is followed, since an activation runs in a hook that asks for the shape of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_hook(lambda _layer, _args, x: F.gelu(x) if x.shape[1] == 8 else x)


def test_a_hook_may_ask_for_the_shape_of_its_layers_output() -> None:
    model = Hooked()
    network, images = trace(model, SHAPE), torch.randn(3, *SHAPE)
    assert [site.name for site in network.sites] == ["conv.gelu", "relu"]
    with torch.inference_mode():
        assert torch.allclose(network(images), model(images), rtol=1e-5, atol=1e-6)


class WritesState(Net):
    """Counts its passes, and multiplies by a table that it writes into."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones(1, 8, 1, 1))

    def between(self, x: Tensor) -> Tensor:
        assert (x * self.table).shape[1] == 8
        return x * self.table


def test_asking_for_sizes_leaves_the_model_as_it_was() -> None:
    model = WritesState()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trace(model, SHAPE)
    assert all(same_bits(tensor, before[name]) for name, tensor in model.state_dict().items())
