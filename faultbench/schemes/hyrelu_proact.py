"""HyReLU + ProAct: bounds of layers, of neurons at the last site, trained one site after another with distillation."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.network import Site
from faultbench.networks.training import accuracy, descend, shuffled
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import ClipToZero, Granularity, Smooth
from faultbench.schemes.fitting.bound_training import STEEPNESS, Student, mean_square
from faultbench.schemes.fitting.effort import Effort, Extent, first
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities
from faultbench.system.devices import fused
from faultbench.system.progress.reporter import Task

DECAYS = tuple(4.0 * 10.0**-exponent for exponent in range(1, 12))
"""The geometric line search over AdamW's decoupled decay: 4e-1 to 4e-11."""

N_FLAT_EPOCHS = 5


@dataclass(frozen=True)
class Recipe:
    """How a bound tensor is trained in one step of the line search, and how the search proceeds."""

    batch: int
    n_epochs: tuple[int, int]
    learning_rate: tuple[float, float]
    bisect: bool

    def of(self, bounds: Tensor) -> tuple[int, float]:
        """Epochs and learning rate: (few bounds, many bounds), more than 3 being many."""
        many = bounds.numel() > 3
        return self.n_epochs[many], self.learning_rate[many]


RECIPES = {
    "paper": Recipe(batch=128, n_epochs=(15, 105), learning_rate=(1e-2, 1e-3), bisect=False),
    "fast": Recipe(batch=32, n_epochs=(6, 12), learning_rate=(5e-2, 1e-2), bisect=True),
}
"""paper: the ProAct authors' released code. fast: fewer, larger steps and bisection on the decay."""


@scheme("hyrelu_proact")
@dataclass(frozen=True)
class HyreluProact:
    """One bound a layer, one a neuron at the last site, trained progressively with distillation.

    ProAct (arXiv 2406.06313) as in the ProAct authors' released code, but 0 instead of NaN for ±Inf. `train_images`
    limits the training images of an epoch; the profile is that of all, and so are accuracies on held-out images.
    """

    deploy: Literal["smooth", "hard"] = "smooth"
    nan_policy: Literal["zero", "propagate"] = "zero"
    mode: Literal["isolated", "cumulative"] = "isolated"
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.015
    train_images: Annotated[int, Field(ge=1)] | None = None

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:  # noqa: ARG002 - the protocol's
        """Neuron-wise at the last activation before the classifier, layer-wise elsewhere."""
        return "neuron" if is_last else "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        """The smooth form, or clipping to zero where it is deployed hard."""
        if self.deploy == "smooth":
            return Smooth(bounds, steepness=STEEPNESS, nan_policy=self.nan_policy)
        return ClipToZero(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Shrink the bounds of one site after another, last site first, while held-out accuracy stays."""
        student = Student(fitting.network, profiled_bounds(fitting, granularities(fitting.network, self)))
        trained_on = replace(fitting, train=fitting.train.first(self.train_images))
        progressive = Progressive(trained_on, student, self.tolerance, cumulative=self.mode == "cumulative")
        names = [site.name for site in reversed(fitting.network.sites)]
        n_done = progressive.resume(names)
        with fitting.reporter.task(fitting.title, len(names), unit="sites") as task:
            task.advance(n_done)
            for index in range(n_done, len(names)):
                progressive.shrink(names[index], done=names[:index], task=task)
                fitting.checkpoint.save(progressive.so_far(names[: index + 1]))
        return progressive.so_far(names)

    def effort(self, extent: Extent) -> Effort:
        """The profile, and the line search of every site, whose every step trains, teaches and looks at accuracy.

        At most, where the search takes one decay after another.
        """
        recipe = RECIPES[extent.schedule]
        n_steps = math.ceil(math.log2(len(DECAYS) + 1)) if recipe.bisect else len(DECAYS)
        few, many = recipe.n_epochs
        n_trained = n_steps * ((extent.n_sites - 1) * few + many) * first(extent.n_train, self.train_images)
        n_looked = (1 + extent.n_sites * n_steps) * extent.n_calibration
        return Effort(n_run=extent.n_profiled + n_trained + n_looked, n_trained=n_trained)


class Progressive:
    """ProAct's line search: for one site, the strongest decay whose trained bounds keep the accuracy."""

    def __init__(self, fitting: Fitting, student: Student, tolerance: float, *, cumulative: bool) -> None:
        self.n_epochs = 0
        self._fitting, self._student = fitting, student
        self._tolerance, self._cumulative = tolerance, cumulative
        self._recipe = RECIPES[fitting.schedule]
        self._golden_accuracy = self._reached = self._accuracy()
        self._tell: Callable[[str], None] = lambda _: None

    def resume(self, names: list[str]) -> int:
        """Take up what the checkpoint kept; the number of sites, first ones of the names, that are done."""
        kept = self._fitting.checkpoint.load()
        self.n_epochs = kept.n_epochs
        self._student.restore({**self._student.saved(), **kept.bounds})
        return sum(name in kept.bounds for name in names)

    def so_far(self, done: list[str]) -> Fitted:
        """The bounds of the sites done, and what they cost."""
        bounds = self._student.saved()
        return Fitted({name: bounds[name] for name in done}, n_epochs=self.n_epochs)

    def shrink(self, name: str, *, done: list[str], task: Task) -> None:
        """Train the bounds of a site, and with `cumulative` those already done too; restored if none will do."""
        trained = self._student.train_only([name, *done] if self._cumulative else [name])
        before = self._student.saved()
        kept = before

        def affordable(decay: float) -> bool:
            nonlocal kept
            step = f"{name}: decay {decay:.0e}"
            self._tell = lambda note: task.advance(0, note=f"{step}, {note}, accuracy {self._reached:.3f}")
            self._student.restore(before)
            self._train(trained, self._student.bounds[name], decay, purpose=f"{name}/{decay}")
            self._reached = self._accuracy()
            is_affordable = abs(self._golden_accuracy - self._reached) <= self._tolerance
            self._tell("kept" if is_affordable else "too dear")
            if is_affordable:
                kept = self._student.saved()
                return True
            return False

        strongest(DECAYS, affordable, bisect=self._recipe.bisect)
        self._student.restore(kept)
        task.advance()

    def _train(self, trained: list[nn.Parameter], bounds: Tensor, decay: float, *, purpose: str) -> None:
        n_epochs, learning_rate = self._recipe.of(bounds)
        generator = self._fitting.generator(purpose)
        descend(
            lambda pixels, labels: self._loss(pixels, labels, trained),
            torch.optim.AdamW(trained, lr=learning_rate, weight_decay=decay, fused=fused(bounds.device)),
            batches=lambda: shuffled(self._fitting.train, self._recipe.batch, self._fitting.augment, generator),
            n_epochs=n_epochs,
            n_flat_epochs=min(N_FLAT_EPOCHS, n_epochs // 3),
            tf32=self._fitting.tf32,
            task=LadderStep(self._tell, n_epochs),
        )
        self.n_epochs += n_epochs

    def _loss(self, pixels: Tensor, labels: Tensor, trained: list[nn.Parameter]) -> Tensor:
        logits = self._student.network(pixels)
        with torch.no_grad():
            teacher = self._fitting.network(pixels)
        distillation = F.cross_entropy(logits, teacher.softmax(dim=1))
        return 0.8 * F.cross_entropy(logits, labels) + 0.1 * distillation + 4e-8 * mean_square(trained)

    def _accuracy(self) -> float:
        return accuracy(self._student.network, self._fitting.calibration, batch=self._fitting.batch)


class LadderStep:
    """The epochs of one step of the line search, told in the note of the whole fitting's task."""

    def __init__(self, tell: Callable[[str], None], n_epochs: int) -> None:
        self._tell, self._n_epochs, self._n_done = tell, n_epochs, 0

    def advance(self, n_done: int = 1, note: str = "") -> None:
        """n_done more epochs are done."""
        self._n_done += n_done
        self._tell(f"epoch {self._n_done}/{self._n_epochs}, {note}")


def strongest(decays: tuple[float, ...], affordable: Callable[[float], bool], *, bisect: bool) -> None:
    """Try decays, strongest first, until one is affordable; or bisect, taking affordability to be monotone.

    Bisection ends on the strongest affordable decay that it found; the last affordable call is the one to keep.
    """
    if not bisect:
        any(affordable(decay) for decay in decays)
        return
    low, high = 0, len(decays)
    while low < high:
        middle = (low + high) // 2
        if affordable(decays[middle]):
            high = middle
        else:
            low = middle + 1
