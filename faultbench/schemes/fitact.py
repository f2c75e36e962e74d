"""FitAct, with one bound per neuron; all bounds are trained together after the weights."""

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
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities
from faultbench.system.devices import fused_kernels


@dataclass(frozen=True)
class FitActRecipe:
    """Number of epochs and batch size of the bound training."""

    n_epochs: int
    batch: int


RECIPES = {"paper": FitActRecipe(n_epochs=150, batch=128), "fast": FitActRecipe(n_epochs=15, batch=32)}


@scheme("fitact")
@dataclass(frozen=True)
class FitAct:
    """Train one bound per neuron, in a smooth form.

    Ghavami et al., FitAct, DATE 2022 (arXiv 2112.13544), with the optimiser and coefficients of the ProAct
    authors' released code, but 0 instead of NaN for +Inf. The authors tuned ζ to 4e-3 (AlexNet and VGG-16 on CIFAR-10),
    4e-4 and 4e-5 (the same on CIFAR-100) and 4e-9 (ResNet-50). `max_accuracy_drop` keeps the last epoch's bounds
    whose accuracy on held-out training images is within the drop; without it the last epoch's bounds are kept.
    `train_images` limits the training images of an epoch; the profile uses all.
    """

    deploy: Literal["smooth", "hard"] = "smooth"
    nan_policy: Literal["zero", "propagate"] = "zero"
    zeta: Annotated[float, Field(ge=0)] = 4e-9
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 4e-9
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    train_images: Annotated[int, Field(ge=1)] | None = None

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:
        """Return neuron: every site has one bound per neuron."""
        return "neuron"

    def activation(self, bounds: Tensor) -> nn.Module:
        """Return the smooth form, or clipping to zero if the scheme is deployed hard."""
        return deployed_form(bounds, self.deploy, self.nan_policy)

    def fit(self, fitting: Fitting) -> Fitted:
        """Train all bounds together from the profile with CE + ζ·Σ mean(λ²), Adam and a cosine schedule to zero."""
        recipe = RECIPES[fitting.schedule]
        student = Student(fitting.network, profiled_bounds(fitting, granularities(fitting.network, self)))
        trained = student.train_only(student.bounds)
        optimiser, generator = self._optimiser(trained, fitting), fitting.generator("fitact")
        affordable = AffordableBounds(student, fitting, self.max_accuracy_drop)
        state = nn.ParameterList([*trained, *affordable.bounds.values()])
        fitting.epochs.restore(state, optimiser, generator)

        def after_epoch() -> None:
            affordable.update()
            fitting.epochs.remember(state, optimiser, generator)

        def loss(pixels: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(student.network(pixels), labels) + self.zeta * mean_square(trained)

        with fitting.reporter.task(fitting.title, recipe.n_epochs, unit="epochs") as task:
            descend_bounds(
                replace(fitting, train=fitting.train.first(self.train_images)),
                loss,
                optimiser,
                batch=recipe.batch,
                generator=generator,
                n_epochs=recipe.n_epochs,
                n_done=fitting.epochs.n_done,
                task=task,
                after_epoch=after_epoch,
            )
        return Fitted(affordable.bounds, n_epochs=recipe.n_epochs)

    def _optimiser(self, trained: list[nn.Parameter], fitting: Fitting) -> torch.optim.Adam:
        # Adam divides by the gradient's size: ζ and the coupled decay count only against its eps, which is
        # therefore part of the method.
        return torch.optim.Adam(
            trained,
            lr=self.learning_rate,
            eps=1e-8,
            weight_decay=self.weight_decay,
            fused=fused_kernels(fitting.network.device),
        )

    def effort(self, extent: FittingExtent) -> FittingEffort:
        """Return the effort of the profile and the epochs, and of measuring accuracies if these limit the bounds."""
        n_epochs = RECIPES[extent.schedule].n_epochs
        n_measured = 0 if self.max_accuracy_drop is None else (1 + n_epochs) * extent.n_calibration
        n_trained = n_epochs * limited_count(extent.n_train, self.train_images)
        return FittingEffort(n_run=extent.n_profiled + n_measured, n_trained=n_trained)


class AffordableBounds:
    """Last bounds of a student whose accuracy on held-out images is within max_drop of that with profiled bounds.

    Without a max_drop they are its last bounds.
    """

    def __init__(self, student: Student, fitting: Fitting, max_drop: float | None) -> None:
        self._student, self._fitting, self._max_drop = student, fitting, max_drop
        self._profiled_accuracy = self._accuracy()
        self.bounds = student.copy_bounds()
        """The tensors stay the same; their values change."""

    def update(self) -> None:
        """Keep the present bounds if they are affordable."""
        if self._max_drop is None or self._profiled_accuracy - self._accuracy() <= self._max_drop:
            for name, values in self._student.copy_bounds().items():
                self.bounds[name].copy_(values)

    def _accuracy(self) -> float:
        if self._max_drop is None:
            return 0.0  # never compared
        return measure_accuracy(self._student.network, self._fitting.calibration, batch=self._fitting.batch)
