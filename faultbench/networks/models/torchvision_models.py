"""The classifiers of torchvision, by its own names."""

from typing import Any

import torchvision
from torch import nn

from faultbench.plugins.registry import model, suggest
from faultbench.system.errors import FaultbenchError

N_CHANNELS = 3


@model("torchvision:<name>")
def torchvision_classifier(name: str, shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Any classifier of torchvision for images of 3 channels, such as torchvision:resnet18, trained by faultbench."""
    known = torchvision.models.list_models(module=torchvision.models)  # no detectors, no segmentation, no video
    if name not in known:
        raise FaultbenchError(f"unknown classifier of torchvision {suggest(name, dict.fromkeys(known))}")
    if shape[0] != N_CHANNELS:
        raise FaultbenchError(
            f"torchvision:{name} takes images of {N_CHANNELS} channels; given {shape[0]}; digits_cnn takes any number"
        )
    arguments = _arguments(name, shape)
    try:
        return torchvision.models.get_model(name, weights=None, num_classes=n_classes, **arguments)  # type: ignore[no-any-return]  # untyped
    except AssertionError as error:  # a transformer's patches
        size = "×".join(map(str, shape))
        raise FaultbenchError(f"torchvision:{name} does not take images of {size}: {error}") from error


def _arguments(name: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the arguments with which a classifier has one output in training too, and takes images of this shape."""
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": False}
    if name.startswith("vgg"):
        return {"init_weights": False}  # training initialises anyway, and this takes seconds
    return {"image_size": shape[1]} if name.startswith("vit_") else {}
