"""A network that cannot be trained as it is: a batch of one image, side heads, errors of its own, divergence."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Images
from faultbench.networks.training import TrainingRecipe, shuffled, train_classifier, try_training
from faultbench.system.errors import FaultbenchError
from tests.builders.fittings import as_it_is
from tests.builders.networks import same_bits
from tests.networks.test_training import Notes, seeded


def images(n_images: int) -> Images:
    return Images(torch.rand(n_images, 1, 4, 4, generator=seeded(0)), torch.arange(n_images) % 2)


def narrow() -> nn.Module:
    """A norm over maps of one value, which in train mode takes no batch of one image."""
    return nn.Sequential(nn.Conv2d(1, 4, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


def wide() -> nn.Module:
    """A norm over maps of four values, which takes any batch."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))


def trained(model: nn.Module, n_images: int, *, batch: int = 4, learning_rate: float = 0.05) -> dict[str, Tensor]:
    recipe = TrainingRecipe(n_epochs=2, batch=batch, learning_rate=learning_rate)
    train_classifier(model, images(n_images), as_it_is, recipe, seeded(3), Notes(), title="train net on data")
    return model.state_dict()


def test_a_last_image_by_itself_joins_the_batch_before_it_where_the_network_takes_no_single_one() -> None:
    assert int(trained(narrow(), 9)["1.num_batches_tracked"]) == 4  # two epochs of batches of 4 and 5
    assert int(trained(narrow(), 8)["1.num_batches_tracked"]) == 4
    assert int(trained(narrow(), 10)["1.num_batches_tracked"]) == 6
    sizes = [len(labels) for _, labels in shuffled(images(9), 4, as_it_is, seeded(0), merges_single=True)]
    assert sizes == [4, 5]


def test_a_last_image_stays_by_itself_where_the_network_takes_it() -> None:
    assert int(trained(wide(), 9)["1.num_batches_tracked"]) == 6


def test_asking_whether_a_single_image_is_taken_changes_no_weight_and_no_random_number() -> None:
    class Wary(nn.Sequential):
        """As it is, but never copied: whoever asks a copy first gets an error."""

        def __deepcopy__(self, memo: dict[int, object]) -> "Wary":
            raise AssertionError("copied")

    def layers() -> list[nn.Module]:
        return [nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2)]

    asked, unasked = trained(nn.Sequential(*layers()), 9), trained(Wary(*layers()), 10)
    assert asked.keys() == unasked.keys()
    with pytest.raises(AssertionError, match="copied"):
        trained(Wary(*layers()), 9)
    # By hand what training was before: the batches of a plain split, the dropout of torch's own stream.
    model, generator, pixels = nn.Sequential(*layers()), seeded(3), images(9)
    recipe = TrainingRecipe(n_epochs=2, batch=4, learning_rate=0.05)
    nn.init.kaiming_normal_(model[2].weight, mode="fan_in", nonlinearity="relu", generator=generator)
    nn.init.zeros_(model[2].bias)
    groups = [{"params": [model[2].weight], "weight_decay": 5e-4}, {"params": [model[2].bias], "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for _ in range(2):
            for indices in torch.split(torch.randperm(9, generator=generator), 4):
                optimiser.zero_grad()
                F.cross_entropy(model(pixels.stored[indices]), pixels.labels[indices]).backward()
                optimiser.step()
    assert all(same_bits(model.state_dict()[name], asked[name]) for name in asked)


class Squeezing(nn.Module):
    """Drops the axis of the batch where it holds one image."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.flatten(1)).squeeze()  # type: ignore[no-any-return]  # modules are untyped


def test_a_last_image_joins_the_batch_before_it_where_a_network_drops_the_axis_of_a_single_one() -> None:
    trained(Squeezing(), 9)
    with pytest.raises(FaultbenchError, match="train net on data: "):
        trained(Squeezing(), 8, batch=1)


class Inverting(nn.Module):
    """Works in place on what it is given, as does the augmentation below."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.mul_(-1).flatten(1))  # type: ignore[no-any-return]  # modules are untyped


def test_trying_leaves_the_images_as_they_are() -> None:
    data = images(9)
    before = data.stored.clone()
    recipe = TrainingRecipe(n_epochs=1, batch=4, learning_rate=0.1)
    try_training(Inverting(), data, lambda pixels, _: pixels.add_(1), recipe, "train net on data")
    train_classifier(Inverting(), data, lambda pixels, _: pixels.add_(1), recipe, seeded(3), Notes())
    assert same_bits(data.stored, before)


@pytest.mark.parametrize(("model", "message"), [(nn.Flatten(), "RuntimeError: "), (nn.LazyLinear(2), "ninitialized")])
def test_a_network_without_weights_yet_is_one_line(model: nn.Module, message: str) -> None:
    with pytest.raises(FaultbenchError, match=f"^train net on data: .*{message}"):
        trained(model, 8)


@pytest.mark.parametrize(("n_images", "batch"), [(8, 1), (1, 4)])
def test_no_two_images_in_a_batch_is_one_line_where_the_network_needs_them(n_images: int, batch: int) -> None:
    message = f"train net on data: a norm .* takes no batch of one image.*batches of {batch} of {n_images} image"
    with pytest.raises(FaultbenchError, match=message):
        trained(narrow(), n_images, batch=batch)
    trained(wide(), n_images, batch=batch)


class Given(nn.Module):
    """Gives what a function makes of its logits, in train mode."""

    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.last, self.change = nn.Linear(16, 2), change

    def forward(self, x: Tensor) -> object:
        logits = self.last(x.flatten(1))
        return self.change(logits) if self.training else logits


def shout(_: Tensor) -> Tensor:
    raise KeyError("no such thing\nand more")


GIVEN = {
    "side heads": (lambda y: (y, y), "the network gives a tuple of 2 in train mode"),
    "a list": (lambda y: [y], "the network gives a list of 1 in train mode"),
    "a dict": (lambda y: {"logits": y}, "the network gives a dict in train mode"),
    "nothing": (lambda _: None, "the network gives a NoneType in train mode"),
    "classes": (lambda y: y.argmax(dim=1), r"gives a tensor of torch.int64 and shape \[2\] for 2 images"),
    "maps": (lambda y: y[:, :, None, None], r"shape \[2, 2, 1, 1\] for 2 images"),
    "one row for all": (lambda y: y.mean(dim=0, keepdim=True), r"shape \[1, 2\] for 2 images"),
    "no gradient": (lambda y: y.detach(), "Given raises RuntimeError: element 0 of tensors does not require grad"),
    "too few classes": (lambda y: y[:, :1], "Given raises IndexError: Target 1 is out of bounds"),
    "an error": (shout, "Given raises KeyError: 'no such thing.*in the model itself .Given. at .*raise KeyError"),
    "a wrong size": (lambda y: nn.Linear(3, 2)(y), "Given raises RuntimeError: mat1 and mat2 shapes"),
    "another device": (lambda y: y + torch.zeros(2, device="meta"), "Given raises "),
    "in place": (lambda y: y.relu().exp().sin_().mul_(y.exp()) * y.exp_(), "Given raises RuntimeError: "),
}


@pytest.mark.parametrize(("change", "message"), GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("trains", [True, False], ids=["training", "trying"])
def test_what_a_network_gives_or_raises_in_train_mode_is_one_line(
    change: Callable[[Tensor], object], message: str, trains: bool
) -> None:
    def attempt() -> None:
        if trains:
            trained(Given(change), 2)
        else:
            recipe = TrainingRecipe(n_epochs=1, batch=4, learning_rate=0.1)
            try_training(Given(change), images(2), as_it_is, recipe, "train net on data")

    with pytest.raises(
        FaultbenchError, match=f"^train net on data: .*{message}|^train net on data: {message}"
    ) as raised:
        attempt()
    assert "\n" not in str(raised.value)


def test_training_that_diverges_is_refused_in_the_epoch_where_it_does() -> None:
    with pytest.raises(
        FaultbenchError, match=r"train net on data: the loss is nan in epoch \d of 2: training diverges"
    ):
        trained(wide(), 64, learning_rate=1e30)


class Overflowing(nn.Module):
    """A network whose only step carries a weight beyond float32, after a finite loss."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 2)
        self.last.weight.register_hook(lambda gradient: gradient * torch.inf)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))  # as attention has: not finite by intent

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.flatten(1))  # type: ignore[no-any-return]  # modules are untyped


def test_weights_that_are_not_finite_are_refused_though_every_loss_was() -> None:
    recipe = TrainingRecipe(n_epochs=1, batch=4, learning_rate=0.05)
    with pytest.raises(FaultbenchError, match=r"train net on data: last\.weight is not finite after training"):
        train_classifier(Overflowing(), images(4), as_it_is, recipe, seeded(3), Notes(), title="train net on data")
