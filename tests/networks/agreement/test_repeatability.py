"""A network whose logits depend on more than memory and image is refused, with the module or the line that does it."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Thread
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import faultbench as fb
from faultbench.campaign import load_campaign
from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.runner.subjects.components import check_components
from faultbench.system.errors import FaultbenchError
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging
from tests.builders.networks import DIGIT_SHAPE as SHAPE
from tests.builders.networks import refused


class Net(nn.Module):
    """Two layers; subclasses say what stands between them."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.between(self.first(x.flatten(1)))))

    def between(self, x: Tensor) -> Tensor:
        return x


class Forgetful(Net):
    def between(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3)


class InPlaceForgetful(Net):
    def between(self, x: Tensor) -> Tensor:
        return F.alpha_dropout(x, 0.3, training=True)


class Noisy(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + 1e-7 * torch.rand_like(x)


class OtherStream(Net):
    def between(self, x: Tensor) -> Tensor:
        return x * float(np.random.rand())  # noqa: NPY002 - what must be found


class Counting(Net):
    n_runs = 0

    def between(self, x: Tensor) -> Tensor:
        self.n_runs += 1
        return x / self.n_runs


class Averaging(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(64))

    def between(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x[:1].mean(0)
        return x - self.mean


class Caching(Net):
    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, Tensor] = {}

    def between(self, x: Tensor) -> Tensor:
        return x - self.cache.setdefault("first", x)[:1]


class StaysInTraining(Net):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)

    def between(self, x: Tensor) -> Tensor:
        return self.drop.train()(x)


class BatchStatistics(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def between(self, x: Tensor) -> Tensor:
        return self.norm(x.unflatten(1, (4, 16))).flatten(1)


class Sorting(Net):
    def between(self, x: Tensor) -> Tensor:
        return x.sort(0).values


class Centred(Net):
    def between(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class ScaledByBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x / x.abs().amax()


class AgainstFirst(Net):
    def between(self, x: Tensor) -> Tensor:
        return x - x[:1]


class Flipped(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + 0.1 * x.flip(0)


class Attending(Net):
    """Attention among images, their axis taken for that of tokens."""

    def between(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x[None], x[None], x[None])[0]


class Ranked(Net):
    def between(self, x: Tensor) -> Tensor:
        return x.softmax(0)


REPEATED = {
    Forgetful: "dropout at {}: return F.dropout(x, 0.3)",
    InPlaceForgetful: "alpha_dropout at {}: return F.alpha_dropout(x, 0.3, training=True)",
    Noisy: "rand_like at {}: return x + 1e-7 * torch.rand_like(x)",
    OtherStream: "mul at {}: return x * float(np.random.rand())",
    Counting: "div at {}: return x / self.n_runs",
    StaysInTraining: "dropout at {}: return self.drop.train()(x) in drop (Dropout); ",
}
BATCHED = {
    BatchStatistics: "batch_norm at {}: return self.norm(x.unflatten(1, (4, 16))).flatten(1) in norm (BatchNorm1d); ",
    Sorting: "sort at {}: return x.sort(0).values",
    Centred: "mean at {}: return x - x.mean(0)",
    ScaledByBatch: "amax at {}: return x / x.abs().amax()",
    AgainstFirst: "__getitem__ at {}: return x - x[:1]",
    Flipped: "flip at {}: return x + 0.1 * x.flip(0)",
    Attending: "scaled_dot_product_attention at {}: return F.scaled_dot_product_attention(",
    Ranked: "softmax at {}: return x.softmax(0)",
}


def placed(told: str) -> str:
    """Return the expected message, with the line of this file that holds the source."""
    lines = Path(__file__).read_text().splitlines()
    source = told.partition("{}: ")[2].partition(" in ")[0]
    number = next(n for n, line in enumerate(lines, start=1) if line.strip().startswith(source))
    return told.format(f"{__file__}:{number}")


@pytest.mark.parametrize("build", REPEATED, ids=lambda build: build.__name__)
def test_what_differs_from_run_to_run_is_refused_where_it_begins(build: type[nn.Module]) -> None:
    message = refused(build())
    what = "it draws from the random numbers of torch in eval mode" if build is Noisy else "two runs of the same "
    assert message.startswith(f"{build.__name__}: {what}")
    assert placed(REPEATED[build]) in message
    assert "; a trial must be a function of memory and image: " in message


@pytest.mark.parametrize("build", BATCHED, ids=lambda build: build.__name__)
def test_what_depends_on_the_batch_is_refused_where_it_begins(build: type[nn.Module]) -> None:
    message = refused(build())
    assert message.startswith(f"{build.__name__}: an image's logits depend on the images that run with it: ")
    assert placed(BATCHED[build]) in message


@pytest.mark.parametrize("build", [Averaging, Caching], ids=lambda build: build.__name__)
def test_what_keeps_state_from_run_to_run_is_refused(build: type[nn.Module]) -> None:
    assert refused(build()).startswith(f"{build.__name__}: ")


class SeldomDropped(Net):
    """Network that skips its layer once in a million runs."""

    def between(self, x: Tensor) -> Tensor:
        return 0 * x if random.random() < 1e-6 else x


class SeldomNoisy(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + (np.random.rand() > 1 - 1e-6)  # noqa: NPY002 - what must be found


@pytest.mark.parametrize(("build", "stream"), [(SeldomDropped, "random"), (SeldomNoisy, "numpy")])
def test_what_draws_random_numbers_is_refused_though_they_changed_nothing(build: type[nn.Module], stream: str) -> None:
    message = refused(build())
    assert message.startswith(f"{build.__name__}: it draws from the random numbers of {stream} in eval mode; a trial")


class BesideAnotherThread(Net):
    """Network that draws nothing, in a process where another thread draws during every second run."""

    runs: ClassVar[Iterator[int]] = count()

    def between(self, x: Tensor) -> Tensor:
        if next(self.runs) % 2:
            other = Thread(target=random.random)
            other.start()
            other.join()
        return x


def test_draws_of_another_thread_are_not_laid_to_the_network() -> None:
    assert len(trace(BesideAnotherThread(), SHAPE).sites) == 1
    assert next(BesideAnotherThread.runs) > 5


def test_the_way_out_is_told() -> None:
    assert refused(Forgetful()).endswith(": give the dropout training=self.training, or take nn.Dropout")
    assert refused(BatchStatistics()).endswith(
        ": let it normalise with running statistics in eval mode, or each image on its own"
    )


def test_a_network_that_takes_no_single_image_is_told_so() -> None:
    message = refused(nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64, track_running_stats=False)))
    assert message.startswith(
        "Sequential fails on an image of 1×8×8: Expected more than 1 value per channel when training"
    )
    assert message.endswith("; it must take one image too")


def normalised(norm: Callable[[], nn.Module]) -> nn.Module:
    layers = (nn.Conv2d(1, 4, 3), norm(), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10))
    return nn.Sequential(*layers)


NORMS = {
    "batch": lambda: nn.BatchNorm2d(4),
    "instance": lambda: nn.InstanceNorm2d(4),
    "group": lambda: nn.GroupNorm(2, 4),
    "response": lambda: nn.LocalResponseNorm(2),
    "layer": lambda: nn.LayerNorm([4, 6, 6]),
}


@pytest.mark.parametrize("norm", NORMS)
def test_norms_of_single_images_and_dropout_in_eval_mode_are_taken(norm: str) -> None:
    assert len(trace(normalised(NORMS[norm]), SHAPE).sites) == 1


class Noise(nn.Module):
    """Network that draws random numbers in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Doubled(nn.Module):
    """Module that doubles values in batches of a certain size."""

    def __init__(self, n_images: int) -> None:
        super().__init__()
        self.n_images = n_images

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if len(x) == self.n_images else x


def evaluation(module: nn.Module, memory_bytes: int) -> Evaluation:
    """A golden run of 6 images in batches of 4, with a module at the site that tracing has not seen."""
    network = trace(Net(), SHAPE)
    network.install(network.sites[0], module)
    space = fault_space(network, FixedPoint(15, 16), ("weights",))
    images = Images(torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.zeros(6).long())
    return Evaluation(network, space, images, batch=4, staging=Staging(memory_bytes, [FaultMap(np.array([0]))]))


@pytest.mark.parametrize("memory_bytes", [0, 10**8], ids=["whole runs", "staged"])
def test_golden_runs_are_repeated_on_real_images(memory_bytes: int) -> None:
    evaluation(nn.ReLU(), memory_bytes).require_repeatable("net on digits")
    with pytest.raises(FaultbenchError, match=r"^net on digits: two runs of the same images give .* rand_like at "):
        evaluation(Noise(), memory_bytes).require_repeatable("net on digits")
    for n_images in (1, 2, 4):
        with pytest.raises(FaultbenchError, match=r"^net on digits: an image.s logits depend .*, first after "):
            evaluation(Doubled(n_images), memory_bytes).require_repeatable("net on digits")


def test_protect_refuses_it_too() -> None:
    with pytest.raises(FaultbenchError, match=r"^Sorting: an image's logits depend on the images that run with it"):
        fb.protect(Sorting(), "relu", torch.rand(4, *SHAPE))


LAB = """\
from torch import nn
from torch.nn import functional as F

from faultbench.plugins.registry import model


class Forgetful(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, n_classes)

    def forward(self, x):
        return self.last(F.dropout(F.relu(self.first(x.flatten(1))), 0.3))


@model("forgetful")
def forgetful(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return Forgetful(n_classes)


@model("lazy")
def lazy(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(n_classes))
"""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of campaigns and of a lab's networks: one that drops in eval mode, and a lazy one."""
    folder = tmp_path_factory.mktemp("forgetful")
    (folder / "forgetful_lab.py").write_text(LAB)
    text = "{name: c, plugins: [forgetful_lab], datasets: [digits], models: [%s], schemes: [relu], bers: [1e-6]}"
    (folder / "forgetful.yaml").write_text(text % "forgetful")
    (folder / "lazy.yaml").write_text(text % "lazy")
    return folder


def test_a_campaign_is_refused_before_anything_is_trained(campaign: Path) -> None:
    told = r"^forgetful on digits: Forgetful: two runs of the same images .*dropout at .*:13"
    with pytest.raises(FaultbenchError, match=told):
        check_components(load_campaign(campaign / "forgetful.yaml"))


def test_a_lazy_network_of_a_campaign_has_its_sizes_before_it_is_trained(campaign: Path) -> None:
    (built,) = check_components(load_campaign(campaign / "lazy.yaml")).values()
    one, other = built.model().state_dict(), built.model().state_dict()
    assert one["1.weight"].shape == (32, 64)
    assert all(torch.equal(one[name], tensor) for name, tensor in other.items())
