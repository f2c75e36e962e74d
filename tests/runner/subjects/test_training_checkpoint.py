"""Interrupted trainings: they go on at the last epoch kept, and end in the weights of one that never stopped."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from faultbench.datasets import Images, Splits
from faultbench.datasets.digits import Digits
from faultbench.networks.training import TrainingRecipe, train_classifier
from faultbench.runner.subjects import training_checkpoint as epochs
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.training_checkpoint import TrainingCheckpoint

RECIPE = TrainingRecipe(n_epochs=5, batch=16, learning_rate=0.05, n_flat_epochs=2)
NAME = "partial-weights"


class Power(BaseException):
    """The power goes off."""


class Failing:
    """A task during which the power goes off after so many epochs."""

    def __init__(self, after: int | None) -> None:
        self.after, self.n_done = after, 0

    def advance(self, n_done: int = 1, note: str = "") -> None:  # noqa: ARG002 - the protocol's
        if self.n_done == self.after:
            raise Power
        self.n_done += n_done


class Network(nn.Sequential):
    """Dropout draws from torch's own stream; batch norm has statistics and a count."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 10)
        )


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "KEPT_EVERY_S", 0.0)


def trained(images: Images, folder: Path, *, stops_after: int | None = None) -> tuple[dict[str, Tensor], int]:
    """The weights, and the epochs shown as done."""
    model, task = Network().to(memory_format=torch.channels_last), Failing(stops_after)
    kept = TrainingCheckpoint(ArtifactStore(folder), NAME, "train a network on digits")
    generator = torch.Generator().manual_seed(3)
    train_classifier(model, images, Digits().augment, RECIPE, generator, task, kept)
    kept.clear()
    return model.state_dict(), task.n_done


@pytest.mark.parametrize("stops", [(1,), (2, 3), (4,)])
def test_an_interrupted_training_ends_in_the_weights_of_one_that_never_stopped(
    digits: Splits, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    images = digits.train.first(64)
    expected, _ = trained(images, tmp_path / "whole")
    for stop in stops:
        torch.manual_seed(stop)  # what stands in torch's own stream does not matter
        with pytest.raises(Power):
            trained(images, tmp_path, stops_after=stop)
        assert ArtifactStore(tmp_path).load(NAME) is not None
    found, n_shown = trained(images, tmp_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert n_shown == RECIPE.n_epochs
    assert ArtifactStore(tmp_path).load(NAME) is None


def test_what_is_kept_goes_on_where_it_was(digits: Splits, tmp_path: Path) -> None:
    with pytest.raises(Power):
        trained(digits.train.first(64), tmp_path, stops_after=3)
    assert TrainingCheckpoint(ArtifactStore(tmp_path), NAME, "").n_done == 3


def test_a_damaged_file_begins_again(digits: Splits, tmp_path: Path) -> None:
    images = digits.train.first(64)
    expected, _ = trained(images, tmp_path / "whole")
    with pytest.raises(Power):
        trained(images, tmp_path, stops_after=3)
    path = ArtifactStore(tmp_path).path(NAME)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found, _ = trained(images, tmp_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_small_networks_write_once_a_minute_at_most(
    digits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "KEPT_EVERY_S", 60.0)
    with pytest.raises(Power):
        trained(digits.train.first(64), tmp_path, stops_after=4)
    assert ArtifactStore(tmp_path).load(NAME) is None
