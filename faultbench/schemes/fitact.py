"""FitAct: one bound a neuron, all trained together after the weights."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.activations import ClipToZero, Granularity, Smooth
from faultbench.network import Site
from faultbench.registry import scheme
from faultbench.schemes.bound_training import STEEPNESS, Student, mean_square
from faultbench.schemes.profile import profiled_bounds
from faultbench.schemes.scheme import Fitted, Fitting, granularities
from faultbench.training import descend, shuffled


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
    authors' released code, but 0 instead of NaN for ±Inf.
    """

    deploy: Literal["smooth", "hard"] = "smooth"
    zeta: Annotated[float, Field(ge=0)] = 4e-9
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 4e-9

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:  # noqa: ARG002 - the protocol's
        """One bound a neuron."""
        return "neuron"

    def activation(self, bounds: Tensor) -> nn.Module:
        """The smooth form, or clipping to zero where it is deployed hard."""
        return Smooth(bounds, steepness=STEEPNESS) if self.deploy == "smooth" else ClipToZero(bounds)

    def fit(self, fitting: Fitting) -> Fitted:
        """Train all bounds jointly from the profile: CE + ζ·Σ mean(λ²), Adam, cosine to zero."""
        recipe = RECIPES[fitting.schedule]
        student = Student(fitting.network, profiled_bounds(fitting, granularities(fitting.network, self)))
        trained = student.train_only(student.bounds)
        # Adam divides by the gradient's size: ζ and the coupled decay count only against its eps, which is
        # therefore part of the method.
        optimiser = torch.optim.Adam(trained, lr=self.learning_rate, eps=1e-8, weight_decay=self.weight_decay)
        generator = fitting.generator("fitact")
        with fitting.reporter.task(fitting.title, recipe.n_epochs, unit="epochs") as task:
            descend(
                lambda pixels, labels: (
                    F.cross_entropy(student.network(pixels), labels) + self.zeta * mean_square(trained)
                ),
                optimiser,
                batches=lambda: shuffled(fitting.train, recipe.batch, fitting.augment, generator),
                n_epochs=recipe.n_epochs,
                n_flat_epochs=0,
                task=task,
            )
        return Fitted(student.saved(), n_epochs=recipe.n_epochs)
