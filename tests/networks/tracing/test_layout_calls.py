"""Networks whose forward works in one memory order alone: measured as they are, filters where they need them."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets.digits import Digits
from faultbench.networks.filter_layout import lies_channels_last, place_channels_last
from faultbench.networks.tracing.trace import trace
from faultbench.networks.training import TrainingRecipe, train_classifier
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.networks import randomise, some_images

N_CLASSES, SIDE, WIDTH = 3, 8, 4
FLAT = WIDTH * SIDE * SIDE


class Convolutions(nn.Module):
    """Two convolutions and a classifier of what a function makes of their maps."""

    def __init__(self, channels: int, flatten: Callable[[Tensor], Tensor], n_features: int = FLAT) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.linear, self.flatten = nn.Linear(n_features, N_CLASSES), flatten
        randomise(self, seed=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flatten(F.relu(self.second(F.relu(self.first(x))))))


class ImageViewed(Convolutions):
    """Views the images themselves, before any layer has put them into an order."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(x.size(0), -1).view(x.shape))


ROW_MAJOR: dict[str, Callable[[Tensor], Tensor]] = {
    "a batch of rows": lambda x: x.view(x.size(0), -1),
    "rows of a length": lambda x: x.view(-1, FLAT),
    "a keyword": lambda x: x.view(size=(x.size(0), FLAT)),
    "as another": lambda x: x.view_as(x.flatten(1)),
    "maps that are columns": lambda x: x.transpose(2, 3).contiguous().view(x.shape[0], -1),
}


def model_of(name: str, channels: int) -> nn.Module:
    return (ImageViewed if name == "images" else Convolutions)(channels, ROW_MAJOR.get(name, ROW_MAJOR["a keyword"]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*ROW_MAJOR, "images"])
@torch.no_grad()
def test_a_network_that_views_its_maps_is_the_same_function_in_every_layout(name: str, channels: int) -> None:
    model, images = model_of(name, channels), some_images(5, (channels, SIDE, SIDE))
    expected = copy.deepcopy(model)(images)
    placed = place_channels_last(model, (channels, SIDE, SIDE))
    network = trace(placed, (channels, SIDE, SIDE))
    channels_last = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for laid_out in (images, channels_last):
        for run in (placed, network):
            torch.testing.assert_close(run(laid_out), expected, rtol=1e-5, atol=1e-6)


def test_filters_are_channels_last_unless_the_forward_needs_them_otherwise() -> None:
    shape = (3, SIDE, SIDE)
    assert lies_channels_last(place_channels_last(Convolutions(3, lambda x: x.flatten(1)), shape))
    assert lies_channels_last(
        place_channels_last(Convolutions(3, lambda x: x.view(len(x), WIDTH, -1)[:, 0], 64), shape)
    )
    for flatten in (ROW_MAJOR["a batch of rows"], lambda x: x.as_strided((len(x), FLAT), (FLAT, 1))):
        assert not lies_channels_last(place_channels_last(Convolutions(3, flatten), shape))
    asking = Convolutions(3, lambda x: (x if x.is_contiguous() else 2 * x).flatten(1))
    assert not lies_channels_last(place_channels_last(asking, shape))


def test_each_part_of_a_placed_module_stays_in_its_own_mode() -> None:
    model = Convolutions(1, ROW_MAJOR["a batch of rows"])
    model.second.eval()
    place_channels_last(model, (1, SIDE, SIDE))
    assert [model.training, model.first.training, model.second.training] == [True, True, False]


def test_a_network_that_views_its_maps_is_trained_on_images_in_any_order() -> None:
    images = Digits().load().train.first(64)
    model = place_channels_last(Convolutions(1, ROW_MAJOR["a batch of rows"], FLAT), Digits.shape)
    model.linear = nn.Linear(FLAT, Digits.n_classes)
    before = copy.deepcopy(model.state_dict())
    with SilentReporter().task("train", 1, unit="epochs") as task:  # shifting makes single channels look channels-last
        train_classifier(model, images, Digits().augment, TrainingRecipe(1, 32, 0.05), torch.Generator(), task)
    assert not torch.equal(model.state_dict()["first.weight"], before["first.weight"])


def test_a_view_of_the_bits_of_values_stays_one() -> None:
    model = Convolutions(3, lambda x: x.view(torch.int32).view(x.dtype).flatten(1))
    images = some_images(4, (3, SIDE, SIDE))
    with torch.no_grad():
        torch.testing.assert_close(trace(model, (3, SIDE, SIDE))(images), model(images))


class Mismatched(Convolutions):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.relu(self.first(x)).view(-1, 7))


def test_an_error_of_a_networks_own_forward_is_quoted_with_its_line() -> None:
    with pytest.raises(FaultbenchError) as raised:
        trace(Mismatched(1, ROW_MAJOR["a keyword"]), (1, SIDE, SIDE))
    message = str(raised.value)
    assert message.startswith(
        "Mismatched fails on an image of 1×8×8: shape '[-1, 7]' is invalid for input of size 256; "
    )
    assert "raised in the model itself at " in message
    assert "test_layout_calls.py:" in message
    assert "return self.linear(F.relu(self.first(x)).view(-1, 7))" in message
    assert "\n" not in message
