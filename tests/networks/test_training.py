"""The training loop: its rates, what depends on the generator, what decays, and how well digits_cnn learns."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from faultbench.datasets import Images, Splits
from faultbench.datasets.digits import Digits
from faultbench.networks.models.digits_cnn import digits_cnn as build_digits_cnn
from faultbench.networks.tracing.trace import trace
from faultbench.networks.training import (
    RECIPES,
    TrainingRecipe,
    descend,
    initialise,
    measure_accuracy,
    rate,
    shuffled,
    train_classifier,
)
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.fittings import as_it_is
from tests.builders.networks import same_bits

SHORT = TrainingRecipe(n_epochs=2, batch=16, learning_rate=0.05)


@dataclass
class Notes:
    """Task that records its notes."""

    units: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def advance(self, n_done: int = 1, note: str = "") -> None:
        self.units.append(n_done)
        self.notes.append(note)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("n_epochs", "n_flat", "rates"),
    [
        (5, 1, [1, 1, 0.853553, 0.5, 0.146447, 0]),  # (1 + cos(π·k/4))/2
        (4, 0, [1, 0.853553, 0.5, 0.146447, 0]),
        (3, 5, [1, 1, 1, 1]),
        (2, 2, [1, 1, 1]),
    ],
)
def test_the_rate_is_flat_and_then_half_a_cosine_down_to_0(n_epochs: int, n_flat: int, rates: list[float]) -> None:
    assert [rate(epoch, n_epochs, n_flat) for epoch in range(n_epochs + 1)] == pytest.approx(rates, abs=1e-6)


def test_every_step_of_an_epoch_goes_at_the_epochs_rate() -> None:
    weight, values = nn.Parameter(torch.tensor(0.0)), []

    def loss(pixels: Tensor, labels: Tensor) -> Tensor:
        values.append(weight.item())
        return -weight  # a step goes up by the learning rate

    task = Notes()
    step = (torch.zeros(1), torch.zeros(1))
    descend(
        loss,
        torch.optim.SGD([weight], lr=8.0),
        batches=lambda: [step, step],
        n_epochs=3,
        n_flat_epochs=1,
        task=task,
    )
    # Flat, then (1 + cos 0)/2 = 1 and (1 + cos(π/2))/2 = 1/2 of 8; two steps an epoch.
    assert [*values, weight.item()] == pytest.approx([0, 8, 16, 24, 32, 36, 40])
    assert task.units == [1, 1, 1]
    assert task.notes == ["loss -8.000", "loss -24.000", "loss -36.000"]


def test_a_gradient_is_not_carried_into_the_next_step() -> None:
    weight = nn.Parameter(torch.tensor(0.0))
    batches = [(torch.tensor(slope), torch.zeros(1)) for slope in (1.0, 0.0)]
    descend(
        lambda pixels, _: pixels * weight,
        torch.optim.SGD([weight], lr=1.0),
        batches=lambda: batches,
        n_epochs=1,
        n_flat_epochs=1,
        task=Notes(),
    )
    assert weight.item() == -1.0


def test_an_epoch_shows_every_image_once_in_another_order_each_time() -> None:
    images = Images(torch.arange(10.0).view(10, 1, 1, 1), torch.arange(10))
    generator = seeded(0)
    epochs = [list(shuffled(images, 4, as_it_is, generator)) for _ in range(2)]
    orders = [torch.cat([labels for _, labels in epoch]).tolist() for epoch in epochs]
    assert [len(labels) for _, labels in epochs[0]] == [4, 4, 2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    assert all(torch.equal(pixels.flatten().long(), labels) for epoch in epochs for pixels, labels in epoch)


def test_the_order_comes_from_the_generator_given() -> None:
    images = Images(torch.zeros(50, 1, 1, 1), torch.arange(50))

    def order(seed: int) -> list[int]:
        return torch.cat([labels for _, labels in shuffled(images, 8, as_it_is, seeded(seed))]).tolist()

    assert order(1) == order(1) != order(2)


def test_batches_are_augmented() -> None:
    images = Images(torch.zeros(3, 1, 1, 1), torch.arange(3))
    batches = shuffled(images, 2, lambda pixels, _: pixels + 5, seeded(0))
    assert all(bool((pixels == 5).all()) for pixels, _ in batches)


class Dropping(nn.Sequential):
    """A network with dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 10)
        )


def trained(
    images: Images, *, seed: int, recipe: TrainingRecipe = SHORT, model: nn.Module | None = None
) -> dict[str, Tensor]:
    model = model or Dropping()
    train_classifier(model, images, Digits().augment, recipe, seeded(seed), Notes())
    assert not model.training
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def test_the_weights_depend_on_the_generator_alone(digits: Splits) -> None:
    images = digits.train.first(64)
    torch.manual_seed(1)
    first = trained(images, seed=3)
    torch.manual_seed(2)  # torch's own stream, from which dropout draws and the model was initialised
    again, other = trained(images, seed=3), trained(images, seed=4)
    assert all(same_bits(first[name], again[name]) for name in first)
    assert not any(same_bits(first[name], other[name]) for name in first)


def test_training_leaves_torchs_own_stream_as_it_was(digits: Splits) -> None:
    model = Dropping()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trained(digits.train.first(64), seed=3, model=model)
    assert torch.equal(torch.rand(3), expected)


class Decaying(nn.Module):
    """Logits that depend on norms and biases and, by a gradient of 0, not on the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm2d(10), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x).mean(dim=(2, 3)) + self.linear(x.new_zeros(len(x), 5))  # type: ignore[no-any-return]


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    images = Images(torch.randn(32, 10, 2, 2, generator=seeded(0)), torch.arange(32) % 10)

    def outcome(weight_decay: float) -> dict[str, Tensor]:
        model = Decaying()
        recipe = TrainingRecipe(n_epochs=1, batch=32, learning_rate=0.5, weight_decay=weight_decay)
        train_classifier(model, images, as_it_is, recipe, seeded(0), Notes())
        return model.state_dict()

    without, with_decay = outcome(0.0), outcome(0.1)
    for name in ("norm.weight", "norm.bias", "linear.bias"):
        assert torch.equal(without[name], with_decay[name])
    assert bool((without["linear.bias"] != 0).all())
    # One Nesterov step from rest at rate 0.5 on a gradient of 0.1·w: w − 0.5·(1 + 0.9)·0.1·w.
    assert torch.allclose(with_decay["linear.weight"], 0.905 * without["linear.weight"])


def test_he_initialisation_has_its_spread_whatever_was_there_before() -> None:
    model = nn.Sequential(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.Linear(1000, 300))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    initialise(model, seeded(0))
    conv, norm, linear = model
    # 73,728 and 300,000 values: the standard deviation of a sample is right to 0.3 % and 0.13 %.
    assert conv.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)  # fan-out
    assert linear.weight.std().item() == pytest.approx((2 / 1000) ** 0.5, rel=0.01)
    assert bool((norm.weight == 1).all())
    assert not any(module.bias.any() for module in model)


def test_accuracy_is_the_share_of_right_rows_and_rows_that_are_not_finite_are_wrong() -> None:
    logits = torch.eye(4)[[0, 1, 2, 3, 0, 0]]
    logits[1, 0] = torch.nan  # argmax would be 0
    logits[2, 2] = torch.inf
    logits[3, 0] = -torch.inf  # the right class is still the largest
    images = Images(torch.arange(6.0).view(6, 1, 1, 1), torch.tensor([0, 0, 2, 3, 0, 1]))
    for batch in (1, 4, 100):
        assert measure_accuracy(lambda pixels: logits[pixels.flatten().long()], images, batch=batch) == 2 / 6


@pytest.mark.slow
def test_a_trained_network_is_right_on_98_percent_of_digits_it_never_saw(digits: Splits) -> None:
    model, recipe = build_digits_cnn(Digits.shape, Digits.n_classes), RECIPES["fast"]
    with SilentReporter().task("", recipe.n_epochs) as task:
        train_classifier(model, digits.train, Digits().augment, recipe, torch.Generator().manual_seed(1), task)
    assert measure_accuracy(trace(model, Digits.shape), digits.test, batch=250) >= 0.98


def test_the_paper_recipe_is_the_released_codes() -> None:
    assert RECIPES["paper"] == TrainingRecipe(305, 128, 0.1, n_flat_epochs=5, weight_decay=5e-4)


def test_digits_cnn_has_the_parameters_it_says() -> None:
    n_parameters = sum(parameter.numel() for parameter in build_digits_cnn((1, 8, 8), 10).parameters())
    assert 132_500 <= n_parameters < 133_500  # "133 k"
