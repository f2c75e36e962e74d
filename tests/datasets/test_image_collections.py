"""Tests that images in every usual form become one tensor, and that other data give a one-line error."""

import itertools
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from faultbench.datasets import Images
from faultbench.datasets.image_collections import class_numbers, collect_images
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import same_bits

X = torch.rand(12, 3, 4, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 4
BYTES = (255 * X).byte()

Pair = namedtuple("Pair", ["image", "label"])


class Mapped(Dataset[Any]):
    """Data set of torch with samples by index."""

    def __init__(self, sample: Callable[[int], Any]) -> None:
        self.sample = sample

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return self.sample(index)


class Streamed(IterableDataset[Any]):
    """Data set of torch that yields samples and has no length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


def batches(make: Callable[[Tensor, Tensor], Any]) -> list[Any]:
    return [make(X[n : n + 5], Y[n : n + 5]) for n in range(0, 12, 5)]


ALONE: dict[str, Any] = {
    "a tensor": X,
    "doubles": X.double(),
    "a tensor with a gradient": X.clone().requires_grad_(),
    "a parameter": torch.nn.Parameter(X),
    "an array": X.numpy(),
    "an array of doubles": X.double().numpy(),
    "an array of the other byte order": X.numpy().astype(">f4"),
    "an array backwards": X.flip(3).numpy()[..., ::-1],
    "a read-only array": np.broadcast_to(X.numpy(), X.shape),
    "a list of images": list(X),
    "a tuple of images": tuple(X),
    "a list of arrays": list(X.numpy()),
    "batches": batches(lambda x, _: x),
    "batches of arrays": batches(lambda x, _: x.numpy()),
    "batches in lists": batches(lambda x, _: [x]),
    "batches as lists of images": batches(lambda x, _: list(x)),
    "batches as dicts": batches(lambda x, _: {"images": x}),
    "a loader": DataLoader(TensorDataset(X), 5),
    "a generator": (image for image in X),
    "a data set": Mapped(lambda index: X[index]),
    "a data set of dicts": Mapped(lambda index: {"image": X[index]}),
}

LABELLED: dict[str, Any] = {
    "Images": Images(X, Y),
    "a pair": (X, Y),
    "a pair in a list": [X, Y],
    "a pair of arrays": (X.numpy(), Y.numpy()),
    "a pair with a list": (X, Y.tolist()),
    "a dict": {"pixel_values": X, "labels": Y},
    "a dict of lists": {"image": list(X), "label": Y.tolist()},
    "batches": batches(lambda x, y: (x, y)),
    "batches as lists": batches(lambda x, y: [x, y]),
    "batches as dicts": batches(lambda x, y: {"x": x, "y": y, "id": 3}),
    "batches with more": batches(lambda x, y: (x, y, y, "more")),
    "batches of int32 labels": batches(lambda x, y: (x, y.int())),
    "batches with columns": batches(lambda x, y: (x, y[:, None])),
    "batches with one-hot rows": batches(lambda x, y: (x, torch.eye(4)[y])),
    "batches of Images": batches(Images),
    "named tuples": batches(Pair),
    "a loader": DataLoader(TensorDataset(X, Y), 5),
    "a loader of triples": DataLoader(TensorDataset(X, Y, torch.arange(12)), 5),
    "a loader of a data set": DataLoader(Mapped(lambda index: (X[index], int(Y[index]))), 5),
    "a loader of a stream": DataLoader(Streamed(), 5),
    "a data set": Mapped(lambda index: (X[index], int(Y[index]))),
    "a data set of numpy labels": Mapped(lambda index: (X[index].numpy(), Y.numpy()[index])),
    "a data set of dicts": Mapped(lambda index: {"image": X[index], "label": Y[index]}),
    "a stream": Streamed(),
    "samples": list(zip(X, Y.tolist(), strict=True)),
}


@pytest.mark.parametrize("data", ALONE.values(), ids=ALONE)
def test_images_alone_of_every_form_are_the_same_tensor(data: Any) -> None:
    found = collect_images(data, "data")
    assert found.labels is None
    assert same_bits(found.pixels, X)
    assert (found.pixels.requires_grad, type(found.pixels)) == (False, Tensor)


@pytest.mark.parametrize("data", LABELLED.values(), ids=LABELLED)
def test_images_with_labels_of_every_form_are_the_same_tensors(data: Any) -> None:
    found = collect_images(data, "data")
    assert same_bits(found.pixels, X)
    assert found.labels is not None
    assert torch.equal(class_numbers(found.labels, "data"), Y)


@pytest.mark.parametrize(
    "data",
    [
        BYTES,
        BYTES.numpy(),
        Images(BYTES, Y),
        {"images": BYTES},
        [(BYTES, Y)],
        [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in BYTES],
    ],
)
def test_bytes_are_their_255th_part_in_every_form(data: Any) -> None:
    assert same_bits(collect_images(data, "data").pixels, Images(BYTES, Y).pixels)


def test_a_grey_picture_is_of_one_channel_and_half_precision_is_widened() -> None:
    assert collect_images([Image.new("L", (5, 4), 255)], "data").pixels.tolist() == [[[[1.0] * 5] * 4]]
    assert same_bits(collect_images(X.half(), "data").pixels, X.half().float())
    assert same_bits(collect_images(X.bfloat16(), "data").pixels, X.bfloat16().float())


def spoilt(value: float) -> Tensor:
    pixels = X.clone()
    pixels[[3, 7], 0, 0, 0] = value
    return pixels


def failing() -> Iterator[Tensor]:
    yield X
    raise OSError("the disk\nis gone")


REFUSED: dict[str, tuple[Any, str]] = {
    "NaN": (spoilt(torch.nan), "NaN, infinite or huge values in images 3, 7"),
    "infinity": (batches(lambda *_: spoilt(torch.inf)), "in images 3, 7, 15, 19, 27 and 1 more"),
    "none": ([], "no images; give at least one"),
    "none in a tensor": (X[:0], "no images"),
    "nothing": (None, "a DataLoader or other batches; given nothing"),
    "a path": ("images/", "a DataLoader or other batches; given 'images/'"),
    "a number": (3, "given 3"),
    "one image": (
        X[0, 0],
        r"images must be a tensor \[images, channels, height, width\]; given a float32 tensor \[4, 5",
    ),
    "five dimensions": (X[None], r"given a float32 tensor \[1, 12, 3, 4, 5\]"),
    "numbers": ([1.0, 2.0], "given 1.0"),
    "texts": (["a.png"], "given 'a.png'"),
    "whole numbers": (X.long(), "images must be floats, or uint8 for 0 to 255; given a int64 tensor"),
    "whole numbers of numpy": (X.numpy().astype(np.uint16), "images must be floats, or uint8"),
    "complex": (X + 1j, "images must be a dense tensor of floats or bytes; given a complex64"),
    "sparse": (X.to_sparse(), "images must be a dense tensor"),
    "without values": (X.to("meta"), "images must be a dense tensor"),
    "objects": (np.array([None, None]), "given a object array"),
    "samples of objects": ([np.full((1, 2, 2), None)], "images must be an array of floats or bytes; given object"),
    "masked": (np.ma.masked_less(X.numpy(), 0.5), "masked pixels"),
    "a palette": ([Image.new("P", (4, 4))], "a picture of mode P; give image.convert"),
    "two shapes": ([X, X[..., :4]], "images of several shapes, 3×4×4 and 3×4×5"),
    "other names": ([{"pic": X}], "a mapping without images: it holds 'pic'; name them pixel_values or images"),
    "an index first": ([(0, X[0], 1)], "images must be a tensor"),
    "labels for some": ([(X, Y), X], "1 of 2 batches have labels"),
    "labels in words": ([(X[0], "cat")], "labels must be class numbers; given 'cat'"),
    "boxes": ([(X, [{"boxes": Y}] * 12)], "labels must be class numbers; given a list"),
    "too few labels": ([(X, Y[:-1])], "12 images but 11 labels"),
    "an error": (failing(), "the data raise OSError: the disk is gone"),
    "for ever": (
        itertools.cycle([X[:, :, :1, :1].repeat(3000, 1, 1, 1)]),
        "images, and perhaps no end: the data have no",
    ),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_is_one_line(data: Any, message: str) -> None:
    with pytest.raises(FaultbenchError, match=f"^protect: data: .*{message}") as raised:
        collect_images(data, "protect: data")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.rand(12, 4), "one class number per image, or one-hot rows; given a float32 tensor"),
        (torch.zeros(12, 2, 2), "one class number per image"),
        (Y + 0.5, "labels must be whole numbers"),
        (Y.float().masked_fill(Y == 2, torch.nan), "labels must be whole numbers"),
        (Y + 0j, "one class number per image"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused(labels: Tensor, message: str) -> None:
    with pytest.raises(FaultbenchError, match=f"^data: .*{message}"):
        class_numbers(labels, "data")
