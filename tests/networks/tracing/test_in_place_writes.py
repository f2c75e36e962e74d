"""Networks that write into their tensors: each is the same function without, or is refused with the line."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.filter_layout import place_channels_last
from faultbench.networks.tracing.rehearsal import Rehearsal
from faultbench.networks.tracing.trace import trace
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import N_CLASSES, names, randomise, some_images

SHAPE = (1, 6, 6)


class Writing(nn.Module):
    """A classifier of what a function makes of the images, which has two convolutions to do so."""

    def __init__(self, features: Callable[["Writing", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.dropout, self.identity = nn.ReLU(inplace=True), nn.Dropout(), nn.Identity()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(288, N_CLASSES)
        self.register_buffer("scale", torch.ones(8, 1, 1))
        self.features = features
        randomise(self, seed=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(self, x).flatten(1))


WRITES: dict[str, Callable[[Writing, Tensor], Tensor]] = {}
Features = Callable[[Writing, Tensor], Tensor]


def writes(features: Features) -> Features:
    WRITES[features.__name__] = features
    return features


@writes
def through_a_slice(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    x[:, :4].mul_(3)
    return F.relu(x)


@writes
def by_a_method_without_a_twin(net: Writing, x: Tensor) -> Tensor:
    x = F.relu(net.first(x))
    return x + torch.empty_like(x).fill_(0.5)


@writes
def by_an_assignment_to_items(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    x[:, :4] = 2 * x[:, 4:]
    x[x < 0] = 0.1
    x[:, [1, 3]] = 2.0
    return F.relu(x)


@writes
def by_an_augmented_assignment(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    same = x
    x += 1
    x[..., 0] *= 2
    return F.relu(same) + net.second(x)


@writes
def through_views_that_overlap(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    one = x[:, :3]
    one -= 1
    other = x[:, 2:5]
    other *= 2
    return F.relu(x) + one.sum(1, keepdim=True)


@writes
def through_chunks(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    a, b = x.chunk(2, 1)
    a.mul_(2)
    b.add_(a)
    rows = x.unbind(1)
    rows[0].zero_()
    c, _ = torch.split(x, [3, 5], 1)
    c.neg_()
    return F.relu(x) + torch.cat([b, a], 1)


@writes
def through_other_shapes(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    x.view(x.size(0), -1)[:, ::3].neg_()
    x.reshape(x.size(0), -1).clamp_(min=-0.1)
    columns = x.flatten(2)
    columns.sub_(columns.mean(2, keepdim=True))
    net.flatten(x).mul_(-1)
    x.unflatten(1, (2, 4))[:, 1].abs_()
    return F.relu(x)


@writes
def through_other_orders_of_axes(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    x.transpose(1, 2)[:, 1].exp_()
    x.permute(0, 2, 3, 1).contiguous().mul_(9)
    x.movedim(1, -1)[..., 0].neg_()
    x.mT[:, 1].abs_()
    x.unsqueeze(1).squeeze(1).mul_(2)
    return F.relu(x)


@writes
def through_diagonals_and_selections(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    torch.diagonal(x, dim1=2, dim2=3).fill_(1.0)
    x.select(1, 2).copy_(x.select(1, 3))
    x.narrow(1, 4, 2).exp_()
    x.unfold(2, 2, 2)[..., 0].mul_(3)
    return F.relu(x)


@writes
def through_strides(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    torch.as_strided(x, (x.size(0), 6, 6), (288, 36, 1)).mul_(5)
    return F.relu(x) * x.stride(2)


@writes
def into_a_tensor_that_changes_its_shape(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    part, same = x[:, :4], x
    x.unsqueeze_(1)
    x[:, 0, 1:].mul_(2)
    part.add_(1)
    x.squeeze_(1)
    x.transpose_(2, 3)
    x[:, :, 0] = 0
    return F.relu(same) + torch.cat([part, part], 1)


@writes
def into_what_out_names(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    y = torch.empty_like(x)
    torch.mul(x, 2, out=y)
    torch.add(x, y, out=x)
    torch.mul(x[:, 4:], 2, out=y[:, :4])
    largest, place = torch.empty_like(x[:, 0]), torch.empty_like(x[:, 0], dtype=torch.long)
    torch.max(x, 1, out=(largest, place))
    return F.relu(y) + x + (largest * place).unsqueeze(1)


@writes
def into_several_at_once(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    y = net.second(x)
    torch._foreach_mul_([x, y], 2.0)
    torch._foreach_add_([x[:, :4], x[:, 4:]], [1.0, 2.0])
    return F.relu(x) + y


@writes
def as_an_initialisation(net: Writing, x: Tensor) -> Tensor:
    x = F.relu(net.first(x))
    y = torch.empty_like(x)
    nn.init.constant_(y, 0.3)
    nn.init.zeros_(x[:, :2])
    return x + y


@writes
def into_the_image(net: Writing, x: Tensor) -> Tensor:
    y = x.div_(0.3)
    x[:, :, 0] = 1
    return F.relu(net.first(y)) + x


@writes
def past_the_graph(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    x.data.mul_(2)
    x.detach().add_(1)
    return F.relu(x)


@writes
def through_modules_that_give_their_input(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    net.dropout(x).mul_(2)
    net.identity(x)[:, 0] = 0
    return F.relu(x)


@writes
def with_comparisons_that_stay_numbers(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    mask = x.clone()
    mask.gt_(0)
    return F.relu(x) * mask


@writes
def with_activations_of_parts(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    shortcut = x.flatten(1)
    F.relu(x[:, :4], inplace=True)
    net.relu(x[:, 6:])
    x.transpose(1, 2)[:, 3].relu_()
    return net.second(x) + shortcut.view(x.shape)


@writes
def in_a_loop(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    for channel in range(8):
        x[:, channel] = 0.5 * x[:, channel - 1] + x[:, channel]
    return F.relu(x)


@writes
def in_a_function_of_its_own(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    doubled(x[:, :4])
    return F.relu(x)


@torch.fx.wrap
def doubled(x: Tensor) -> None:
    x.mul_(float(x.shape[1]) if x.dim() == 4 else 2.0)


@pytest.mark.parametrize("name", WRITES)
@torch.no_grad()
def test_a_network_that_writes_is_the_same_function_and_no_value_changes_once_it_is_made(name: str) -> None:
    model, images = Writing(WRITES[name]).eval(), some_images(5, SHAPE)
    expected = copy.deepcopy(model)(images.clone())
    network = trace(place_channels_last(model, SHAPE), SHAPE)
    channels_last = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for laid_out in (images, channels_last):
        given = laid_out.clone(memory_format=torch.preserve_format)
        torch.testing.assert_close(network(given), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(given, images)
    torch.testing.assert_close(network.copy()(images[:1]), expected[:1], rtol=1e-4, atol=1e-5)
    assert not Rehearsal(network.graph, SHAPE).written


def test_activations_in_place_of_parts_of_a_tensor_are_sites() -> None:
    network = trace(Writing(with_activations_of_parts), SHAPE)
    assert names(network.sites) == ["relu", "relu#1", "relu#2"]
    assert [site.feeding for site in network.sites] == [("first",)] * 3


def halves_its_weights(net: Writing, x: Tensor) -> Tensor:
    net.first.weight.mul_(0.5)
    return F.relu(net.first(x))


def moves_its_scale(net: Writing, x: Tensor) -> Tensor:
    x = net.first(x)
    net.scale[:2].add_(x.mean())
    return F.relu(x * net.scale)


def changes_a_tensor_after_use(net: Writing, x: Tensor) -> Tensor:
    table = torch.ones(8, 1, 1)
    x = net.first(x) * table
    table[:2] = 4
    return F.relu(x * table)


REFUSED: dict[Features, tuple[str, str]] = {
    halves_its_weights: (r"^Writing: two runs of the same images give .*Tensor\.mul_ at ", "weight.mul_(0.5)"),
    moves_its_scale: (r"^Writing: two runs of the same images give ", "net.scale[:2].add_(x.mean())"),
    changes_a_tensor_after_use: (
        r"^Writing: a tensor of shape \(8, 1, 1\) is used at .*, and written later",
        "* table",
    ),
}


@pytest.mark.parametrize("features", REFUSED, ids=lambda features: features.__name__)
def test_writes_that_are_no_function_of_the_image_are_refused_with_their_line(features: Features) -> None:
    message, line = REFUSED[features]
    with torch.no_grad(), pytest.raises(FaultbenchError, match=message) as raised:
        trace(Writing(features), SHAPE)
    assert line in str(raised.value)
    assert "test_in_place_writes.py:" in str(raised.value)
    assert "\n" not in str(raised.value)
