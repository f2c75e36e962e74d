"""FitAct: one bound a neuron, all trained together after the weights."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Recipe:
    """How long the bounds are trained, on batches of how many images."""

    n_epochs: int
    batch: int


RECIPES = {"paper": Recipe(n_epochs=150, batch=128), "fast": Recipe(n_epochs=15, batch=32)}


@scheme("fitact")
@dataclass(frozen=True)
class FitAct:
    """One trained bound a neuron, in a smooth form.

    Ghavami et al., FitAct, DATE 2022 (arXiv 2112.13544), with the optimiser and coefficients of the ProAct
    authors' released code, but 0 instead of NaN for +Inf. They tuned ζ to 4e-3 (AlexNet and VGG-16 on CIFAR-10),
    4e-4 and 4e-5 (the same on CIFAR-100) and 4e-9 (ResNet-50). `max_accuracy_drop` keeps the last epoch's bounds
    whose accuracy on held-out training images is within the drop; without it the last epoch's bounds are kept.
    `train_images` limits the training images of an epoch; the profile is that of all.
    """

    deploy: Literal["smooth", "hard"] = "smooth"
    nan_policy: Literal["zero", "propagate"] = "zero"
    zeta: Annotated[float, Field(ge=0)] = 4e-9
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 4e-9
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    train_images: Annotated[int, Field(ge=1)] | None = None

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:  # noqa: ARG002 - the protocol's
        """One bound a neuron."""
        return "neuron"

    def activation(self, bounds: Tensor) -> nn.Module:
        """The smooth form, or clipping to zero where it is deployed hard."""
        if self.deploy == "smooth":
            return Smooth(bounds, steepness=STEEPNESS, nan_policy=self.nan_policy)
        return ClipToZero(bounds, nan_policy=self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Train all bounds jointly from the profile: CE + ζ·Σ mean(λ²), Adam, cosine to zero."""
        recipe = RECIPES[fitting.schedule]
        student = Student(fitting.network, profiled_bounds(fitting, granularities(fitting.network, self)))
        trained = student.train_only(student.bounds)
        # Adam divides by the gradient's size: ζ and the coupled decay count only against its eps, which is
        # therefore part of the method.
        optimiser = torch.optim.Adam(
            trained,
            lr=self.learning_rate,
            eps=1e-8,
            weight_decay=self.weight_decay,
            fused=fused(fitting.network.device),
        )
        generator, train = fitting.generator("fitact"), fitting.train.first(self.train_images)
        affordable = Affordable(student, fitting, self.max_accuracy_drop)
        with fitting.reporter.task(fitting.title, recipe.n_epochs, unit="epochs") as task:
            descend(
                lambda pixels, labels: (
                    F.cross_entropy(student.network(pixels), labels) + self.zeta * mean_square(trained)
                ),
                optimiser,
                batches=lambda: shuffled(train, recipe.batch, fitting.augment, generator),
                n_epochs=recipe.n_epochs,
                n_flat_epochs=0,
                tf32=fitting.tf32,
                task=task,
                after_epoch=affordable.look,
            )
        return Fitted(affordable.bounds, n_epochs=recipe.n_epochs)

    def effort(self, extent: Extent) -> Effort:
        """The profile, the epochs, and held-out images after each where accuracy limits the bounds."""
        n_epochs = RECIPES[extent.schedule].n_epochs
        n_looked = 0 if self.max_accuracy_drop is None else (1 + n_epochs) * extent.n_calibration
        n_trained = n_epochs * first(extent.n_train, self.train_images)
        return Effort(n_run=extent.n_profiled + n_looked, n_trained=n_trained)


class Affordable:
    """The student's last bounds whose accuracy on held-out images is within max_drop of that at the profile.

    Without a max_drop, its last bounds.
    """

    def __init__(self, student: Student, fitting: Fitting, max_drop: float | None) -> None:
        self._student, self._fitting, self._max_drop = student, fitting, max_drop
        self._profiled_accuracy = self._accuracy()
        self.bounds = student.saved()

    def look(self) -> None:
        """Take the bounds as they are now if they are affordable."""
        if self._max_drop is None or self._profiled_accuracy - self._accuracy() <= self._max_drop:
            self.bounds = self._student.saved()

    def _accuracy(self) -> float:
        if self._max_drop is None:
            return 0.0  # nobody asks
        return accuracy(self._student.network, self._fitting.calibration, batch=self._fitting.batch)
