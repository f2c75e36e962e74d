"""HyReLU + ProAct: bounds per layer, per neuron at the last site, trained site by site with distillation."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.network import Site
from faultbench.networks.training import measure_accuracy
from faultbench.plugins.registry import scheme
from faultbench.schemes.bounded_activations import Granularity
from faultbench.schemes.fitting.bound_training import Student, deployed_form, descend_bounds, mean_square
from faultbench.schemes.fitting.effort import FittingEffort, FittingExtent, limited_count
from faultbench.schemes.fitting.line_search import LineSearchStep, try_decays
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities
from faultbench.system.devices import fused_kernels
from faultbench.system.progress.reporter import Task

DECAYS = tuple(4.0 * 10.0**-exponent for exponent in range(1, 12))
"""Decays of the geometric line search over AdamW's decoupled decay: 4e-1 to 4e-11."""

N_FLAT_EPOCHS = 5


@dataclass(frozen=True)
class ProactRecipe:
    """Training of a bound tensor in one step of the line search, and the order of the search.

    Epochs and learning rates are pairs: for few bounds, and for many.
    """

    batch: int
    n_epochs: tuple[int, int]
    learning_rate: tuple[float, float]
    bisect: bool

    def of(self, bounds: Tensor) -> tuple[int, float]:
        """Return the epochs and the learning rate for these bounds. More than 3 bounds are many."""
        many = bounds.numel() > 3
        return self.n_epochs[many], self.learning_rate[many]


RECIPES = {
    "paper": ProactRecipe(batch=128, n_epochs=(15, 105), learning_rate=(1e-2, 1e-3), bisect=False),
    "fast": ProactRecipe(batch=32, n_epochs=(6, 12), learning_rate=(5e-2, 1e-2), bisect=True),
}
"""paper: the ProAct authors' released code. fast: fewer, larger steps and bisection on the decay."""


@scheme("hyrelu_proact")
@dataclass(frozen=True)
class HyreluProact:
    """Train one bound per layer, and one per neuron at the last site, site by site with distillation.

    ProAct (arXiv 2406.06313) as in the ProAct authors' released code, but 0 instead of NaN for ±Inf. `train_images`
    limits the training images of an epoch; the profile and the accuracies on held-out images use all.
    """

    deploy: Literal["smooth", "hard"] = "smooth"
    nan_policy: Literal["zero", "propagate"] = "zero"
    mode: Literal["isolated", "cumulative"] = "isolated"
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.015
    train_images: Annotated[int, Field(ge=1)] | None = None

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:
        """Return neuron at the last activation before the classifier, layer elsewhere."""
        return "neuron" if is_last else "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return the smooth form, or clipping to zero if the scheme is deployed hard."""
        return deployed_form(bounds, self.deploy, self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Shrink the bounds of one site after another, last site first, while the held-out accuracy stays."""
        student = Student(fitting.network, profiled_bounds(fitting, granularities(fitting.network, self)))
        trained_on = replace(fitting, train=fitting.train.first(self.train_images))
        training = ProgressiveTraining(trained_on, student, self.tolerance, cumulative=self.mode == "cumulative")
        names = [site.name for site in reversed(fitting.network.sites)]
        n_done = training.resume(names)
        with fitting.reporter.task(fitting.title, len(names), unit="sites") as task:
            task.advance(n_done)
            for index in range(n_done, len(names)):
                training.shrink(names[index], done=names[:index], task=task)
                fitting.checkpoint.save(training.result(names[: index + 1]))
        return training.result(names)

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return the effort of the profile and of the line search, whose steps train, teach and measure the accuracy.

        It is an upper limit if the search tries one decay after another.
        """
        recipe = RECIPES[extent.schedule]
        n_steps = math.ceil(math.log2(len(DECAYS) + 1)) if recipe.bisect else len(DECAYS)
        few, many = recipe.n_epochs
        n_trained = n_steps * ((extent.n_sites - 1) * few + many) * limited_count(extent.n_train, self.train_images)
        n_measured = (1 + extent.n_sites * n_steps) * extent.n_calibration
        return FittingEffort(n_run=extent.n_profiled + n_trained + n_measured, n_trained=n_trained)


class ProgressiveTraining:
    """ProAct's line search: for each site, the strongest decay whose trained bounds keep the accuracy."""

    def __init__(self, fitting: Fitting, student: Student, tolerance: float, *, cumulative: bool) -> None:
        self.n_epochs = 0
        self._fitting, self._student = fitting, student
        self._tolerance, self._cumulative = tolerance, cumulative
        self._recipe = RECIPES[fitting.schedule]
        self._golden_accuracy = self._present_accuracy = self._accuracy()
        self._note: Callable[[str], None] = lambda _: None

    def resume(self, names: list[str]) -> int:
        """Restore the state of the checkpoint; return how many sites, the first ones of the names, are done."""
        kept = self._fitting.checkpoint.load()
        self.n_epochs = kept.n_epochs
        self._student.restore({**self._student.copy_bounds(), **kept.bounds})
        return sum(name in kept.bounds for name in names)

    def result(self, done: list[str]) -> Fitted:
        """Return the bounds of the sites that are done, and their cost."""
        bounds = self._student.copy_bounds()
        return Fitted({name: bounds[name] for name in done}, n_epochs=self.n_epochs)

    def shrink(self, name: str, *, done: list[str], task: Task) -> None:
        """Train the bounds of a site, with `cumulative` also earlier ones; undo this if every decay is rejected."""
        trained = self._student.train_only([name, *done] if self._cumulative else [name])
        before = self._student.copy_bounds()
        kept = before

        def affordable(decay: float) -> bool:
            nonlocal kept
            self._student.restore(before)
            is_affordable = self._try(name, decay, trained, task)
            if is_affordable:
                kept = self._student.copy_bounds()
            return is_affordable

        try_decays(DECAYS, affordable, bisect=self._recipe.bisect)
        self._student.restore(kept)
        task.advance()

    def _try(self, name: str, decay: float, trained: list[nn.Parameter], task: Task) -> bool:
        """Train the bounds of a site at a decay; return whether the accuracy is within the tolerance."""
        step = f"{name}: decay {decay:.0e}"
        self._note = lambda note: task.advance(0, note=f"{step}, {note}, accuracy {self._present_accuracy:.3f}")
        self._train(trained, self._student.bounds[name], decay, purpose=f"{name}/{decay}")
        self._present_accuracy = self._accuracy()
        is_affordable = abs(self._golden_accuracy - self._present_accuracy) <= self._tolerance
        self._note("kept" if is_affordable else "rejected")
        return is_affordable

    def _train(self, trained: list[nn.Parameter], bounds: Tensor, decay: float, *, purpose: str) -> None:
        n_epochs, learning_rate = self._recipe.of(bounds)
        generator = self._fitting.generator(purpose)
        descend_bounds(
            self._fitting,
            lambda pixels, labels: self._loss(pixels, labels, trained),
            torch.optim.AdamW(trained, lr=learning_rate, weight_decay=decay, fused=fused_kernels(bounds.device)),
            batch=self._recipe.batch,
            generator=generator,
            n_epochs=n_epochs,
            n_flat_epochs=min(N_FLAT_EPOCHS, n_epochs // 3),
            task=LineSearchStep(self._note, n_epochs),
        )
        self.n_epochs += n_epochs

    def _loss(self, pixels: Tensor, labels: Tensor, trained: list[nn.Parameter]) -> Tensor:
        logits = self._student.network(pixels)
        with torch.no_grad():
            teacher = self._fitting.network(pixels)
        distillation = F.cross_entropy(logits, teacher.softmax(dim=1))
        return 0.8 * F.cross_entropy(logits, labels) + 0.1 * distillation + 4e-8 * mean_square(trained)

    def _accuracy(self) -> float:
        return measure_accuracy(self._student.network, self._fitting.calibration, batch=self._fitting.batch)
