"""Training loop, and training of unprotected networks with it."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.datasets import Augment, Images
from faultbench.networks.failures import network_errors, require_training_logits
from faultbench.networks.filter_layout import lies_channels_last
from faultbench.system.devices import fused_kernels, in_tf32, to_device
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Task


@dataclass(frozen=True)
class TrainingRecipe:
    """Training recipe of an unprotected network: number of epochs, images per batch, peak learning rate."""

    n_epochs: int
    batch: int
    learning_rate: float
    n_flat_epochs: int = 5
    weight_decay: float = 5e-4
    tf32: bool = False


RECIPES = {
    "paper": TrainingRecipe(n_epochs=305, batch=128, learning_rate=0.1),
    "fast": TrainingRecipe(n_epochs=40, batch=32, learning_rate=0.05),
}
"""paper: the ProAct authors' released code, 5 flat epochs and 300 of cosine; fast: sized for a small data set."""


class EpochStore(Protocol):
    """Store for the state of a training after each epoch, so that an interrupted training can continue."""

    n_done: int
    """Number of epochs that were stored when the training began."""

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Restore the state after `n_done` epochs, including torch's own random numbers."""

    def remember(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Store the state after one more epoch."""


class NoTrainingCheckpoint:
    """Store that keeps nothing: every training starts at the beginning."""

    n_done = 0

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Do nothing."""

    def remember(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Do nothing."""


def train_classifier(
    model: nn.Module,
    images: Images,
    augment: Augment,
    recipe: TrainingRecipe,
    generator: torch.Generator,
    task: Task,
    epochs: EpochStore = NoTrainingCheckpoint(),  # noqa: B008 - it has no state
    title: str = "training",
) -> None:
    """Train a network from scratch in place, on the device of the images, with cross-entropy and Nesterov SGD.

    Biases and norms do not decay. He initialisation comes first, so that the weights depend on the generator alone.
    One unit of the task is an epoch. A training that is stored in epochs continues where it ended, and ends in the same
    weights. FaultbenchError, which begins with the title, if the network raises an error, gives no logits or diverges.
    """
    with network_errors(title, model):
        initialise(model, generator)
    finite_before = _finite_tensors(model)
    device = images.stored.device
    card = device if device.type == "cuda" else None
    to_device(model, device, tf32=recipe.tf32 and lies_channels_last(model))
    with network_errors(title, model):  # torch wants parameters, at least one
        optimiser = _sgd(model, recipe, device)
    model.train()
    merges_single = takes_no_single(model, images, recipe.batch, title)
    with torch.random.fork_rng(devices=[card] if card else []):
        torch.manual_seed(generator.initial_seed())  # dropout takes no generator; the fork puts torch's own back
        epochs.restore(model, optimiser, generator)
        descend(
            lambda pixels, labels: training_loss(model, pixels, labels, title),
            optimiser,
            batches=lambda: shuffled(images, recipe.batch, augment, generator, merges_single=merges_single),
            n_epochs=recipe.n_epochs,
            n_flat_epochs=recipe.n_flat_epochs,
            n_done=epochs.n_done,
            tf32=recipe.tf32,
            task=task,
            after_epoch=lambda: epochs.remember(model, optimiser, generator),
            guarded=lambda: network_errors(title, model),
            title=title,
        )
    model.eval()
    if lost := finite_before - _finite_tensors(model):
        raise FaultbenchError(f"{title}: {min(lost)} is not finite after training; give a lower learning rate")


def _sgd(model: nn.Module, recipe: TrainingRecipe, device: torch.device) -> torch.optim.SGD:
    """Return Nesterov SGD for a model; biases and norms do not decay."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=fused_kernels(device))


def training_loss(model: nn.Module, pixels: Tensor, labels: Tensor, title: str) -> Tensor:
    """Return the cross-entropy of a batch; FaultbenchError if the network gives no logits in train mode."""
    return F.cross_entropy(require_training_logits(model(pixels), title, len(pixels)), labels)


def try_training(model: nn.Module, images: Images, augment: Augment, recipe: TrainingRecipe, title: str) -> None:
    """Refuse a network that cannot be trained on the first of these images; do not use the model afterwards."""
    chosen = images.first(2)
    with torch.random.fork_rng(devices=[]), network_errors(title, model):
        initialise(model, torch.Generator().manual_seed(0))
        model.train()
        if not takes_no_single(model, images, recipe.batch, title):
            chosen = chosen.first(recipe.batch)
        # A copy: an augmentation may work in place, and the images are the data set's own.
        pixels = augment(chosen.pixels.clone(), torch.Generator().manual_seed(0))
        training_loss(model, pixels, chosen.labels, title).backward()  # type: ignore[no-untyped-call]  # torch's


def takes_no_single(model: nn.Module, images: Images, batch: int, title: str) -> bool:
    """Return whether an epoch has a batch of one image that the network, in train mode, cannot be trained on.

    A norm over the images of a batch takes no single image if each of its maps is one value. The model and torch's
    random numbers stay as they are. FaultbenchError if no batch holds two images.
    """
    if batch > 1 and len(images) % batch != 1:
        return False
    if not _needs_pairs(model, images):
        return False
    if batch == 1 or len(images) == 1:
        raise FaultbenchError(
            f"{title}: a norm of the network takes no batch of one image in train mode; given batches of "
            f"{batch} of {len(images)} image(s); give training.batch at least 2, and at least 2 images to train on"
        )
    return True


def _needs_pairs(model: nn.Module, images: Images) -> bool:
    """Return whether a copy of a network, in train mode, fails on one image and not on two."""
    single, pair = images.first(1).pixels.clone(), images.first(2).pixels.clone()
    with torch.random.fork_rng(devices=[single.device] if single.device.type == "cuda" else []), torch.no_grad():
        copied = copy.deepcopy(model)
        # Where two images fail as well, training says why.
        return not _runs(copied, single) and (len(pair) < 2 or _runs(copied, pair))


def _runs(model: nn.Module, pixels: Tensor) -> bool:
    try:
        output = model(pixels)
    except (ValueError, RuntimeError):
        return False
    if not isinstance(output, Tensor):
        return True  # training says why it does not do
    return output.dim() == 2 and len(output) == len(pixels) and bool(torch.isfinite(output).all())


@torch.no_grad()
def _finite_tensors(model: nn.Module) -> set[str]:
    """Return the names of the parameters and buffers whose values are all finite."""
    return {name for name, tensor in model.state_dict().items() if bool(torch.isfinite(tensor).all())}


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
    guarded: Callable[[], AbstractContextManager[None]] = nullcontext,
    title: str = "training",
) -> None:
    """Minimise loss(pixels, labels) over epochs of batches; flat learning rate first, then cosine to zero.

    The peak learning rates are the optimiser's defaults. n_done epochs count as done already. With tf32 a card may
    multiply in it during a step, and not in after_epoch. Every step runs inside guarded(). FaultbenchError, which
    begins with the title, when the loss of an epoch's last batch is not finite.
    """
    if n_done:
        task.advance(n_done)
    for epoch in range(n_done, n_epochs):
        for group in optimiser.param_groups:
            group["lr"] = optimiser.defaults["lr"] * rate(epoch, n_epochs, n_flat_epochs)
        with in_tf32() if tf32 else nullcontext():
            for pixels, labels in batches():
                with guarded():
                    optimiser.zero_grad()
                    value = loss(pixels, labels)
                    value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    optimiser.step()
        last = value.item()
        if not math.isfinite(last):
            raise FaultbenchError(
                f"{title}: the loss is {last} in epoch {epoch + 1} of {n_epochs}: training diverges; give a lower "
                "learning rate, and look whether the images are scaled as the network expects"
            )
        task.advance(note=f"loss {last:.3f}")
        after_epoch()


def rate(epoch: int, n_epochs: int, n_flat_epochs: int) -> float:
    """Return the share of the peak learning rate in an epoch: 1 at first, then half a cosine down to 0 at n_epochs."""
    if epoch < n_flat_epochs:
        return 1.0
    return (1 + math.cos(math.pi * (epoch - n_flat_epochs) / max(n_epochs - n_flat_epochs, 1))) / 2


def shuffled(
    images: Images, batch: int, augment: Augment, generator: torch.Generator, *, merges_single: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of augmented batches of pixels and labels in random order.

    With merges_single, a last batch of one image becomes part of the batch before it.
    """
    parts = list(torch.split(torch.randperm(len(images), generator=generator), batch))
    if merges_single and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    for indices in parts:
        chosen = images.select(indices)
        pixels = augment(chosen.pixels, generator)
        yield pixels, chosen.labels.to(pixels.device)


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Initialise every weight after He (normal, fan-out for convolutions), biases to 0 and norms to 1, in place."""
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
def measure_accuracy(network: Callable[[Tensor], Tensor], images: Images, *, batch: int) -> float:
    """Return the fraction of images whose top-1 class is the label; a non-finite row of logits counts as wrong."""
    n_correct = 0
    for part in images.batches(batch):
        logits = network(part.pixels)
        right = (logits.argmax(dim=1) == part.labels.to(logits.device)) & torch.isfinite(logits).all(dim=1)
        n_correct += int(right.sum())
    return n_correct / len(images)
