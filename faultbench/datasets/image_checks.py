"""Checks of image and label tensors. A function …_problem returns the problem in words, or an empty text."""

from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import shortened

MAX_VALUE = 10**10
"""Largest plausible pixel value or count. Larger values are uninitialised memory, or no picture."""

N_LISTED = 5
"""Most images whose indices a message lists."""

_CHUNK = 1024
"""Images searched at a time for values that are not finite."""


def pixel_problem(pixels: object, shape: tuple[int, ...]) -> str:
    """Return what is wrong with pixels that should be float32 or uint8 [images, *shape]; empty if nothing is."""
    if not isinstance(pixels, Tensor) or pixels.layout is not torch.strided:
        return f"pixels must be a torch.Tensor, dense; given {describe_value(pixels)}"
    if tuple(pixels.shape[1:]) != shape or pixels.dim() != 4:
        hint = _hint(tuple(pixels.shape), shape)
        return f"images of {_sizes(pixels.shape[1:])}; the data set declares {_sizes(shape)}{hint}"
    if pixels.dtype not in (torch.float32, torch.uint8):
        return f"pixels are {_dtype(pixels)}; give float32 as the network takes them, or uint8, which is divided by 255"
    if pixels.device.type != "cpu":
        return f"pixels are on {pixels.device}; give them on the CPU"
    if not len(pixels):
        return "no images; every part needs some"
    return finite_problem(pixels)


def refuse_data(where: str, problem: str) -> NoReturn:
    """Raise the FaultbenchError for data with a problem. where names the data."""
    raise FaultbenchError(f"{where}: {problem}")


def finite_problem(pixels: Tensor) -> str:
    """Return which images hold NaN, infinities or values above MAX_VALUE; empty if none does."""
    if not (pixels.is_floating_point() and pixels.numel()):
        return ""
    lowest, highest = (float(value) for value in torch.aminmax(pixels.detach()))
    if -MAX_VALUE <= lowest <= highest <= MAX_VALUE:  # False for NaN
        return ""
    indices: list[int] = []
    for start, part in zip(range(0, len(pixels), _CHUNK), torch.split(pixels.detach(), _CHUNK), strict=True):
        is_sound = (part.abs() <= MAX_VALUE).flatten(1).all(dim=1)
        indices += [start + int(index) for index in torch.nonzero(~is_sound).flatten()]
    return f"NaN, infinite or huge values in {list_images(indices)}; fix these images or leave them out"


def class_problem(labels: object, n_images: int, n_classes: int) -> str:
    """Return what is wrong with labels that should be int64 [images] in 0..n_classes−1; empty if nothing is."""
    if not isinstance(labels, Tensor) or labels.layout is not torch.strided:
        return f"labels must be a torch.Tensor of class numbers; given {describe_value(labels)}"
    if labels.dim() != 1:
        return (
            f"labels must be one class number per image, [images]; given {describe_value(labels)}{_flat_hint(labels)}"
        )
    if labels.dtype is not torch.int64:
        return f"labels must be int64; given {_dtype(labels)}; use labels.long()"
    if labels.device.type != "cpu":
        return f"labels are on {labels.device}; give them on the CPU"
    if len(labels) != n_images:
        return f"{n_images:,} images but {len(labels):,} labels"
    return range_problem(labels, n_classes)


def range_problem(labels: Tensor, n_classes: int) -> str:
    """Return which class numbers are not in 0..n_classes−1; empty if all are."""
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest >= 0 and highest < n_classes:
        return ""
    wrong = torch.nonzero((labels < 0) | (labels >= n_classes)).flatten().tolist()
    advice = "; subtract 1, classes are numbered from 0" if (lowest, highest) == (1, n_classes) else ""
    return (
        f"labels must be 0 to {n_classes - 1}, the numbers of {n_classes} classes; given {lowest} to {highest}, "
        f"wrong in {list_images(wrong)}{advice}"
    )


def list_images(indices: list[int]) -> str:
    """Return the first of the indices in words: `image 5`, or `images 1, 2 and 7 more`."""
    listed = ", ".join(map(str, indices[:N_LISTED]))
    more = f" and {len(indices) - N_LISTED:,} more" if len(indices) > N_LISTED else ""
    return f"image{'s' * (len(indices) > 1)} {listed}{more}"


def describe_value(value: object) -> str:
    """Return a short description of a value."""
    match value:
        case None:
            return "nothing"
        case Tensor():
            return f"a {_dtype(value)} tensor {list(value.shape)} on {value.device}"
        case np.ndarray():
            return f"a {value.dtype} array {list(value.shape)}"
        case bool() | int() | float() | str():
            return shortened(repr(value), 60)
        case tuple() | list() if len(value) <= 8 and all(isinstance(item, int | float | None) for item in value):
            return repr(value)
        case _:
            return f"a {type(value).__name__}"


def _hint(sizes: tuple[int, ...], shape: tuple[int, ...]) -> str:
    channels, *sides = shape
    if sizes[1:] == (*sides, channels):
        return "; channels come last, use images.permute(0, 3, 1, 2)"
    if channels == 1 and sizes[1:] == tuple(sides):
        return "; the channel is missing, use images.unsqueeze(1)"
    return ""


def _flat_hint(labels: Tensor) -> str:
    if labels.dim() != 2:
        return ""
    return "; use labels.squeeze(1)" if labels.shape[1] == 1 else "; of one-hot rows use labels.argmax(dim=1)"


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
