"""The one training loop, and how unprotected networks are trained with it."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Augment, Images
from faultbench.system.devices import fused, in_tf32, placed
from faultbench.system.progress.reporter import Task


@dataclass(frozen=True)
class Recipe:
    """How long an unprotected network is trained, on batches of how many images, at which peak learning rate."""

    n_epochs: int
    batch: int
    learning_rate: float
    n_flat_epochs: int = 5
    weight_decay: float = 5e-4
    tf32: bool = False


RECIPES = {
    "paper": Recipe(n_epochs=305, batch=128, learning_rate=0.1),
    "fast": Recipe(n_epochs=40, batch=32, learning_rate=0.05),
}
"""paper: the ProAct authors' released code, 5 flat epochs and 300 of cosine; fast: sized for a small data set."""


class Epochs(Protocol):
    """What remembers a training from epoch to epoch, so that an interrupted one goes on."""

    n_done: int
    """Epochs that were remembered when the training began; 0 where nothing was."""

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Put all back as it was after `n_done` epochs, torch's own random numbers included."""

    def remember(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """One epoch more is done."""


class Forgotten:
    """Remembers nothing: every training begins at the beginning."""

    n_done = 0

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Nothing to put back."""

    def remember(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Nothing is kept."""


def train_classifier(
    model: nn.Module,
    images: Images,
    augment: Augment,
    recipe: Recipe,
    generator: torch.Generator,
    task: Task,
    epochs: Epochs = Forgotten(),  # noqa: B008 - it has no state
) -> None:
    """Train a network from scratch where the images are, in place; cross-entropy, Nesterov SGD.

    Biases and norms do not decay.

    He initialisation first, so that the weights depend on the generator alone. One unit of the task is an epoch.
    A training that epochs remember goes on where it ended, and ends in the same weights.
    """
    initialise(model, generator)
    device = images.stored.device
    card = device if device.type == "cuda" else None
    placed(model, device, tf32=recipe.tf32)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=fused(device))
    model.train()
    with torch.random.fork_rng(devices=[card] if card else []):
        torch.manual_seed(generator.initial_seed())  # dropout takes no generator; the fork puts torch's own back
        epochs.restore(model, optimiser, generator)
        descend(
            lambda pixels, labels: F.cross_entropy(model(pixels), labels),
            optimiser,
            batches=lambda: shuffled(images, recipe.batch, augment, generator),
            n_epochs=recipe.n_epochs,
            n_flat_epochs=recipe.n_flat_epochs,
            n_done=epochs.n_done,
            tf32=recipe.tf32,
            task=task,
            after_epoch=lambda: epochs.remember(model, optimiser, generator),
        )
    model.eval()


def descend(
    loss: Callable[[Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    *,
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    n_epochs: int,
    n_flat_epochs: int,
    n_done: int = 0,
    tf32: bool = False,
    task: Task,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Minimise loss(pixels, labels) over epochs of batches; flat learning rate first, then cosine to zero.

    The peak learning rates are the optimiser's defaults. n_done epochs count as done already. With tf32 a card may
    multiply in it during a step, and not in after_epoch.
    """
    if n_done:
        task.advance(n_done)
    for epoch in range(n_done, n_epochs):
        for group in optimiser.param_groups:
            group["lr"] = optimiser.defaults["lr"] * rate(epoch, n_epochs, n_flat_epochs)
        with in_tf32() if tf32 else nullcontext():
            for pixels, labels in batches():
                optimiser.zero_grad()
                value = loss(pixels, labels)
                value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimiser.step()
        task.advance(note=f"loss {value.item():.3f}")
        after_epoch()


def rate(epoch: int, n_epochs: int, n_flat_epochs: int) -> float:
    """Share of the peak learning rate in an epoch: 1 while flat, then half a cosine down to 0 at n_epochs."""
    if epoch < n_flat_epochs:
        return 1.0
    return (1 + math.cos(math.pi * (epoch - n_flat_epochs) / max(n_epochs - n_flat_epochs, 1))) / 2


def shuffled(
    images: Images, batch: int, augment: Augment, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented batches of pixels and labels in random order."""
    for indices in torch.split(torch.randperm(len(images), generator=generator), batch):
        chosen = images.chosen(indices)
        pixels = augment(chosen.pixels, generator)
        yield pixels, chosen.labels.to(pixels.device)


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """He initialisation of every weight (normal, fan-out for convolutions), zero biases, unit norms, in place."""
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.ones_(module.weight)
        if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(bias)


@torch.inference_mode()
def accuracy(network: Callable[[Tensor], Tensor], images: Images, *, batch: int) -> float:
    """Fraction of images whose top-1 class is the label; a non-finite row of logits counts as wrong."""
    n_correct = 0
    for part in images.batches(batch):
        logits = network(part.pixels)
        right = (logits.argmax(dim=1) == part.labels.to(logits.device)) & torch.isfinite(logits).all(dim=1)
        n_correct += int(right.sum())
    return n_correct / len(images)
