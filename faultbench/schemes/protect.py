"""A scheme on one's own torch model, its bounds fitted on one's own images."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from faultbench.datasets import Images
from faultbench.networks.network import Network, trace
from faultbench.plugins import registry
from faultbench.schemes.scheme import Fitting, Schedule, Scheme, protected, store
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Silent
from faultbench.system.random_streams import seed_of

Data = Tensor | Images | Iterable[tuple[Tensor, Tensor]]
"""Images [n, channels, height, width] as the model takes them: alone, with labels, or in batches with labels."""


def protect(
    model: nn.Module,
    scheme: str | Scheme,
    data: Data,
    *,
    held_out: Data | None = None,
    format: str = "float32",  # noqa: A002 - the campaign file's word
    seed: int = 0,
    batch: int = 64,
    schedule: Schedule = "fast",
) -> nn.Module:
    """A protected copy of a classifier, on the CPU in eval mode; the model stays as it is.

    scheme is a name as `faultbench list schemes` prints it, or a scheme with options of one's own, such as
    `ClipAct(granularity="channel")`. Bounds are fitted on data; a scheme that searches or accepts bounds does so on
    held_out, by default on the same images. Where there are no labels the model's own classes stand in. Parameters
    and bounds become what memory of this format gives back of them. FaultbenchError for a model that cannot be
    traced or bounded, and for images that it does not take.
    """
    chosen: Scheme = registry.build("scheme", scheme, {}) if isinstance(scheme, str) else scheme
    codec = registry.build("number_format", format, {})
    train = _pixels_and_labels(data)
    network = trace(copy.deepcopy(model).cpu(), _shape(train[0]))
    store(network, codec)
    images = _labelled(network, *train, batch=batch)
    fitting = Fitting(
        network=network,
        train=images,
        calibration=images if held_out is None else _labelled(network, *_pixels_and_labels(held_out), batch=batch),
        augment=_unvaried,
        codec=codec,
        batch=batch,
        schedule=schedule,
        seed=seed_of(seed, "protect"),
        title=f"fit {scheme}",
        reporter=Silent(),
    )
    twin = protected(network, chosen, chosen.fit(fitting).bounds)
    store(twin, codec)
    return twin.graph


def _unvaried(pixels: Tensor, _generator: torch.Generator) -> Tensor:
    return pixels


def _pixels_and_labels(data: Data) -> tuple[Tensor, Tensor | None]:
    if isinstance(data, Tensor):
        return data.float().cpu(), None
    if isinstance(data, Images):
        return data.pixels, data.labels
    batches = [(pixels.float().cpu(), labels.cpu()) for pixels, labels in data]
    if not batches:
        raise FaultbenchError("protect: no images; give at least one")
    return torch.cat([pixels for pixels, _ in batches]), torch.cat([labels for _, labels in batches])


def _shape(pixels: Tensor) -> tuple[int, int, int]:
    if pixels.dim() != 4 or not len(pixels):
        raise FaultbenchError(
            "protect: images must be a tensor [images, channels, height, width], at least one; "
            f"given {list(pixels.shape)}"
        )
    _, channels, height, width = pixels.shape
    return channels, height, width


@torch.inference_mode()
def _labelled(network: Network, pixels: Tensor, labels: Tensor | None, *, batch: int) -> Images:
    if labels is None:
        labels = torch.cat([network(part).argmax(dim=1) for part in torch.split(pixels, batch)])
    return Images(pixels, labels.clone())
