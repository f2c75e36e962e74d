"""Checks of data set plug-ins: their declarations, and the results of their `load` and `augment`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faultbench.datasets.image_checks import MAX_VALUE, class_problem, describe_value, pixel_problem, refuse_data
from faultbench.datasets.images import Augment, Images, Splits
from faultbench.plugins.modules import as_user_error

_COUNTS = {"train": "n_trained", "calibration": "n_held_out", "test": "n_test"}
"""Part of a data set → attribute that declares its number of images."""


def require_declared(dataset: Any, name: str, file: Path | None = None) -> None:
    """Refuse a data set whose shape, n_classes or counts are of the wrong kind; file is the plug-in's source."""
    with _lab_errors(name, file):
        shape, n_classes = getattr(dataset, "shape", None), getattr(dataset, "n_classes", None)
        counts = {attribute: getattr(dataset, attribute, None) for attribute in _COUNTS.values()}
        has_load = callable(getattr(dataset, "load", None))
    if not (isinstance(shape, Sequence) and len(shape) == 3 and all(_is_count(size, 1) for size in shape)):
        refuse_data(
            _where(name),
            f"shape must be (channels, height, width), three whole numbers from 1; given {describe_value(shape)}",
        )
    if not _is_count(n_classes, 2):
        refuse_data(_where(name), f"n_classes must be a whole number from 2; given {describe_value(n_classes)}")
    for attribute, count in counts.items():
        if not (_is_count(count, 1) or (count is None and attribute != "n_test")):
            refuse_data(_where(name), f"{attribute} must be a whole number from 1; given {describe_value(count)}")
    if not has_load:
        refuse_data(_where(name), "it has no method load; give one that returns faultbench.datasets.Splits")


def load_checked(dataset: Any, name: str, file: Path | None = None) -> Splits:
    """Return the three parts that a data set loads, each checked against the declarations of the data set.

    FaultbenchError, in one line, for the first part that differs, and for any exception that load raises.
    """
    require_declared(dataset, name, file)
    with _lab_errors(name, file):
        splits = dataset.load()
    if not isinstance(splits, Splits):
        refuse_data(
            _where(name),
            f"load gives {describe_value(splits)}; give faultbench.datasets.Splits(train, calibration, test)",
        )
    parts = {part: getattr(splits, part) for part in _COUNTS}
    for part, images in parts.items():
        if problem := _problem(images, dataset, part):
            refuse_data(_where(name), f"{part}: {problem}")
    return Splits(**{part: _plain(images) for part, images in parts.items()})


def require_repeatable(first: Splits, second: Splits, name: str) -> None:
    """Refuse a data set if two loads differ, because every process and every later replay loads it again."""
    for part in _COUNTS:
        images, others = getattr(first, part), getattr(second, part)
        if not (torch.equal(images.stored, others.stored) and torch.equal(images.labels, others.labels)):
            refuse_data(
                _where(name),
                f"{part}: two loads give different images or labels; load must give the same in every call: sort what "
                "it lists, and take random numbers from a generator of a fixed seed",
            )


def checked_augment(dataset: Any, name: str, file: Path | None = None) -> Augment:
    """Return the augment of a data set with a check of every batch that it returns: tensor, shape, type and device."""
    augment: Callable[[Tensor, torch.Generator], object] | None = getattr(dataset, "augment", None)
    if not callable(augment):
        refuse_data(
            _where(name),
            "it has no method augment(pixels, generator); give one, which may return the pixels as they are",
        )

    def augment_checked(pixels: Tensor, generator: torch.Generator) -> Tensor:
        expected = _form(pixels)
        with as_user_error(f"data set {name!r}: augment", file):
            varied = augment(pixels, generator)
        if not isinstance(varied, Tensor) or _form(varied) != expected:
            refuse_data(
                _where(name),
                f"augment must give images as it gets them, {describe_value(pixels)}; given {describe_value(varied)}",
            )
        return varied

    return augment_checked


def _problem(images: object, dataset: Any, part: str) -> str:
    if not isinstance(images, Images):
        return f"{describe_value(images)} in Splits; give faultbench.datasets.Images(pixels, labels)"
    declared = getattr(dataset, _COUNTS[part], None)
    return (
        pixel_problem(images.stored, tuple(dataset.shape))
        or class_problem(images.labels, len(images.stored), dataset.n_classes)
        or (
            f"{len(images):,} images; {_COUNTS[part]} declares {declared:,}"
            if declared is not None and len(images) != declared
            else ""
        )
    )


def _plain(images: Images) -> Images:
    """Return the images as plain tensors without gradient."""
    return Images(*(tensor.detach().as_subclass(Tensor) for tensor in (images.stored, images.labels)))


def _form(pixels: Tensor) -> tuple[tuple[int, ...], torch.dtype, torch.device]:
    return tuple(pixels.shape), pixels.dtype, pixels.device


def _is_count(value: object, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= MAX_VALUE


@contextmanager
def _lab_errors(name: str, file: Path | None) -> Iterator[None]:
    with as_user_error(_where(name), file):
        yield


def _where(name: str) -> str:
    return f"data set {name!r}"
