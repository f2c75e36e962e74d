"""Collection of images from tensors, arrays, loaders, data sets or pictures into one tensor.

A batch is images [n, channels, height, width], one image [channels, height, width] or a PIL image; a tuple or list
of images, labels and anything else; or a mapping of images and labels under usual names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faultbench.datasets.image_checks import describe_value, finite_problem, refuse_data
from faultbench.datasets.images import Images
from faultbench.system.errors import FaultbenchError

IMAGE_KEYS = ("pixel_values", "images", "image", "inputs", "input", "x", "img", "pixels", "data")
LABEL_KEYS = ("labels", "label", "targets", "target", "y", "class")
"""Usual names of images and labels in a mapping. The first name that is present is used."""

MAX_IMAGES = 200_000
MAX_BYTES = 4 << 30
"""Limits for data of unknown length, because a loader may repeat its data for ever."""


@dataclass(frozen=True)
class ImageCollection:
    """Images, float32 [n, channels, height, width] on the CPU, and their labels as given, [n, …], or None."""

    pixels: Tensor
    labels: Tensor | None


def collect_images(data: object, where: str) -> ImageCollection:
    """Return all images of data in any usual form, and their labels if there are any.

    Floating-point images are taken unchanged, and bytes are divided by 255. FaultbenchError, which begins with `where`,
    for other data, for images of several shapes, and for values that are not finite.
    """
    parts = _parts(data, where)
    if not parts:
        refuse_data(where, "no images; give at least one")
    if len({part.pixels.shape[1:] for part in parts}) > 1:
        sizes = sorted({"×".join(map(str, part.pixels.shape[1:])) for part in parts})
        refuse_data(where, f"images of several shapes, {' and '.join(sizes[:3])}; give images of one shape")
    labels = [part.labels for part in parts if part.labels is not None]
    if labels and len(labels) < len(parts):
        refuse_data(where, f"{len(labels)} of {len(parts)} batches have labels; give labels to all or to none")
    if len({part.shape[1:] for part in labels}) > 1:
        refuse_data(where, "labels of several shapes; give one class number per image")
    pixels = torch.cat([part.pixels for part in parts])
    if problem := finite_problem(pixels):
        refuse_data(where, problem)
    return ImageCollection(pixels, torch.cat(labels) if labels else None)


def class_numbers(labels: Tensor, where: str) -> Tensor:
    """Return class numbers, a column of them, or one-hot rows as int64 [n]. FaultbenchError for other labels."""
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    if labels.dim() == 2 and bool(((labels == 0) | (labels == 1)).all()) and bool((labels.sum(dim=1) == 1).all()):
        return labels.to(torch.int64).argmax(dim=1)
    if labels.dim() != 1 or labels.is_complex():
        refuse_data(
            where, f"labels must be one class number per image, or one-hot rows; given {describe_value(labels)}"
        )
    numbers = labels.to(torch.int64)
    if not torch.equal(numbers.to(labels.dtype), labels):
        refuse_data(where, f"labels must be whole numbers; given {describe_value(labels)}")
    return numbers


def _parts(data: object, where: str) -> list[ImageCollection]:
    if isinstance(data, Images):
        return [_collect_batch((data.stored, data.labels), where)]
    if isinstance(data, Tensor | np.ndarray) and data.ndim != 4:
        refuse_data(where, f"images must be a tensor [images, channels, height, width]; given {describe_value(data)}")
    if isinstance(data, Tensor | np.ndarray | Image.Image | Mapping) or _is_pair(data):
        return [part for part in [_collect_batch(data, where)] if len(part.pixels)]
    parts: list[ImageCollection] = []
    is_endless, n_images, n_bytes = _length(data) is None, 0, 0
    for batch in _batches(data, where):
        parts.append(_collect_batch(batch, where))
        n_images += len(parts[-1].pixels)
        n_bytes += parts[-1].pixels.nbytes
        if is_endless and (n_images > MAX_IMAGES or n_bytes > MAX_BYTES):
            refuse_data(
                where,
                f"more than {n_images - 1:,} images, and perhaps no end: the data have no len(); take some of them by "
                "itertools.islice",
            )
    return [part for part in parts if len(part.pixels)]


def _batches(data: Any, where: str) -> Iterator[object]:
    """Yield the batches of an iterable, or the samples of a map-style data set."""
    if isinstance(data, str | bytes) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        refuse_data(
            where,
            "images must be a tensor [images, channels, height, width], a DataLoader or other batches; "
            f"given {describe_value(data)}",
        )
    length = None if hasattr(data, "__iter__") else _length(data)
    try:
        yield from data if length is None else (data[index] for index in range(length))
    except FaultbenchError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FaultbenchError(f"{where}: the data raise {type(error).__name__}: {reason}") from error


def _length(data: Any) -> int | None:
    """Return the number of batches or samples; None if unknown, because the `len` of a loader may raise."""
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


def _is_pair(data: object) -> bool:
    """Return whether data are a tuple or list of all images and their labels, and not a list of batches."""
    if not isinstance(data, tuple | list) or len(data) != 2 or not isinstance(data[0], Tensor | np.ndarray):
        return False
    images, labels = data
    is_labels = labels.ndim <= 2 if isinstance(labels, Tensor | np.ndarray) else labels is None or type(labels) is list
    return bool(is_labels and images.ndim == 4)


def _collect_batch(batch: object, where: str) -> ImageCollection:
    images, labels = _images_and_labels(batch, where)
    pixels = _pixels(images, where)
    is_single = pixels.dim() == 3
    pixels = pixels.unsqueeze(0) if is_single else pixels
    if pixels.dim() != 4:
        refuse_data(where, f"images must be a tensor [images, channels, height, width]; given {describe_value(pixels)}")
    if labels is None:
        return ImageCollection(pixels, None)
    numbers = _numbers(labels, where)
    numbers = numbers.unsqueeze(0) if numbers.dim() == 0 or (is_single and len(numbers) != 1) else numbers
    if len(numbers) != len(pixels):
        refuse_data(where, f"{len(pixels)} images but {len(numbers)} labels in a batch")
    return ImageCollection(pixels, numbers)


def _images_and_labels(batch: object, where: str) -> tuple[object, object]:
    match batch:
        case Images():
            return batch.stored, batch.labels
        case Mapping():
            images = next((batch[key] for key in IMAGE_KEYS if key in batch), None)
            if images is None:
                keys = ", ".join(map(repr, list(batch)[:8])) or "nothing"
                refuse_data(
                    where, f"a mapping without images: it holds {keys}; name them {' or '.join(IMAGE_KEYS[:3])}"
                )
            return images, next((batch[key] for key in LABEL_KEYS if key in batch), None)
        case list() if len(batch) > 1 and all(isinstance(x, Tensor | np.ndarray) and x.ndim == 3 for x in batch):
            return batch, None
        case tuple() | list() if batch and not isinstance(batch[0], int | float | np.number):
            return batch[0], batch[1] if len(batch) > 1 else None
        case _:
            return batch, None


def _pixels(images: object, where: str) -> Tensor:
    match images:
        case Tensor():
            tensor = images.detach()
        case Image.Image():
            tensor = _from_picture(images, where)
        case np.ndarray():
            tensor = _from_array(images, where)
        case tuple() | list() if images and all(isinstance(x, Tensor | np.ndarray | Image.Image) for x in images):
            return _stack([_pixels(x, where) for x in images], where)
        case _:
            refuse_data(
                where, f"images must be a tensor [images, channels, height, width]; given {describe_value(images)}"
            )
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
        refuse_data(where, f"images must be a dense tensor of floats or bytes; given {describe_value(tensor)}")
    if tensor.dtype is torch.uint8:
        return tensor.cpu().float().div_(255)
    if not tensor.is_floating_point() and tensor.dtype is not torch.bool:
        refuse_data(where, f"images must be floats, or uint8 for 0 to 255; given {describe_value(tensor)}")
    return tensor.cpu().float().as_subclass(Tensor)


def _stack(images: Sequence[Tensor], where: str) -> Tensor:
    if len({image.shape for image in images}) > 1:
        refuse_data(where, "images of several shapes in a batch; give images of one shape")
    return torch.stack(list(images))


def _from_picture(image: Image.Image, where: str) -> Tensor:
    if image.mode not in ("L", "RGB"):
        refuse_data(where, f'a picture of mode {image.mode}; give image.convert("RGB"), or "L" for grey')
    array = np.array(image)
    return torch.from_numpy(array).unsqueeze(0) if image.mode == "L" else torch.from_numpy(array).permute(2, 0, 1)


def _from_array(array: np.ndarray, where: str) -> Tensor:
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        refuse_data(where, "images with masked pixels; fill them first")
    try:
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError) as error:  # objects, texts, dates
        raise FaultbenchError(f"{where}: images must be an array of floats or bytes; given {array.dtype}") from error


def _numbers(labels: object, where: str) -> Tensor:
    if isinstance(labels, Tensor) and (labels.layout is not torch.strided or labels.is_meta or labels.is_quantized):
        refuse_data(where, f"labels must be a dense tensor of class numbers; given {describe_value(labels)}")
    try:
        return labels.detach().cpu() if isinstance(labels, Tensor) else torch.as_tensor(np.array(labels))
    except (TypeError, ValueError) as error:  # texts, dicts of boxes, lists of several lengths
        raise FaultbenchError(f"{where}: labels must be class numbers; given {describe_value(labels)}") from error


Batch = Tensor | np.ndarray | Sequence[Any] | Mapping[str, Any] | Image.Image
Data = Tensor | np.ndarray | Images | Mapping[str, Any] | Iterable[Batch]
"""Images in a form that `collect_images` accepts, with labels or without."""
