"""Tests that a data set plug-in which breaks its declarations gives a one-line error before anything is trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from faultbench.datasets import Images, Splits
from faultbench.datasets.plugin_checks import checked_augment, load_checked, require_declared, require_repeatable
from faultbench.system.errors import FaultbenchError

N_PARTS = {"train": 12, "calibration": 6, "test": 9}


def part(n_images: int, **changes: Tensor) -> Images:
    fields = {"stored": torch.rand(n_images, 3, 4, 5), "labels": torch.arange(n_images) % 3}
    return Images(**{**fields, **changes})


@dataclass
class Data:
    """Data set of noise in three classes. Tests change its declarations to wrong ones."""

    shape: Any = (3, 4, 5)
    n_classes: Any = 3
    n_test: Any = 9
    n_trained: Any = 12
    n_held_out: Any = 6
    load: Any = field(default=lambda: splits())


def splits(**changed: Any) -> Splits:
    return Splits(**{name: changed.get(name, part(n_images)) for name, n_images in N_PARTS.items()})


def changed(which: str = "test", **changes: Callable[[Tensor], Tensor]) -> Callable[[], Splits]:
    """Return a `load` that changes the images or labels of one part."""
    whole = part(N_PARTS[which])
    tensors = {name: changes.get(name, lambda same: same)(getattr(whole, name)) for name in ("stored", "labels")}
    images = part(N_PARTS[which])
    for name, tensor in tensors.items():
        object.__setattr__(images, name, tensor)  # like code that writes to a tensor after it made the images
    return lambda: splits(**{which: images})


def spoilt(value: float) -> Callable[[Tensor], Tensor]:
    def spoil(pixels: Tensor) -> Tensor:
        pixels[[2, 5], 0, 1, 1] = value
        return pixels

    return spoil


def refused(dataset: object) -> str:
    with pytest.raises(FaultbenchError) as raised:
        load_checked(dataset, "mine")
    message = str(raised.value)
    assert message.startswith("data set 'mine': ")
    assert "\n" not in message
    return message.removeprefix("data set 'mine': ")


def test_what_keeps_its_promises_is_given_as_it_is() -> None:
    wanted = splits()
    found = load_checked(Data(load=lambda: wanted), "mine")
    for name in N_PARTS:
        assert torch.equal(getattr(found, name).stored, getattr(wanted, name).stored)
        assert torch.equal(getattr(found, name).labels, getattr(wanted, name).labels)


@pytest.mark.parametrize("pixels", [lambda x: (255 * x).byte(), lambda x: 4 * x - 2, lambda x: 255 * x])
def test_bytes_normalised_and_unscaled_floats_are_all_taken(pixels: Callable[[Tensor], Tensor]) -> None:
    assert len(load_checked(Data(load=changed(stored=pixels)), "mine").test) == 9


def test_images_that_ask_for_a_gradient_come_without() -> None:
    found = load_checked(Data(load=changed(stored=lambda x: torch.nn.Parameter(x))), "mine").test.stored
    assert not found.requires_grad
    assert type(found) is Tensor


LABELS = {
    "a column": (lambda y: y[:, None], "one class number per image, [images]; given a int64 tensor [9, 1]"),
    "one-hot": (lambda y: torch.eye(3)[y], "of one-hot rows use labels.argmax(dim=1)"),
    "from 1": (lambda y: y + 1, "labels must be 0 to 2, the numbers of 3 classes; given 1 to 3"),
    "negative": (lambda y: y - 1, "given -1 to 1, wrong in images 0, 3, 6"),
    "one too large": (lambda y: y.clone().index_fill_(0, torch.tensor([4]), 255), "given 0 to 255, wrong in image 4"),
    "int32": (lambda y: y.int(), "labels must be int64; given int32; use labels.long()"),
    "uint8": (lambda y: y.byte(), "labels must be int64; given uint8"),
    "floats": (lambda y: y.float(), "labels must be int64; given float32"),
    "truths": (lambda y: y > 0, "labels must be int64; given bool"),
    "a list": (lambda y: y.tolist(), "labels must be a torch.Tensor"),
    "numpy": (lambda y: y.numpy(), "labels must be a torch.Tensor"),
    "too few": (lambda y: y[:-1], "9 images but 8 labels"),
    "a single number": (lambda y: y[0], "one class number per image"),
    "elsewhere": (lambda y: y.to("meta"), "labels are on meta; give them on the CPU"),
    "sparse": (lambda y: y.to_sparse(), "labels must be a torch.Tensor"),
}


@pytest.mark.parametrize("which", N_PARTS)
@pytest.mark.parametrize(("change", "message"), LABELS.values(), ids=LABELS)
def test_labels_are_the_numbers_of_classes(change: Callable[[Tensor], Tensor], message: str, which: str) -> None:
    found = refused(Data(load=changed(which, labels=change)))
    assert found.startswith(f"{which}: ")
    if which == "test":
        assert message in found


PIXELS = {
    "NaN": (spoilt(torch.nan), "test: NaN, infinite or huge values in images 2, 5; fix these images"),
    "infinity": (spoilt(torch.inf), "in images 2, 5;"),
    "-infinity": (spoilt(-torch.inf), "in images 2, 5;"),
    "never written": (spoilt(1e30), "in images 2, 5;"),
    "channels last": (
        lambda x: x.permute(0, 2, 3, 1),
        "images of 4×5×3; the data set declares 3×4×5; channels come last, use",
    ),
    "another size": (lambda x: x[..., :4], "images of 3×4×4; the data set declares 3×4×5"),
    "no channels": (lambda x: x[:, 0], "images of 4×5; the data set declares 3×4×5"),
    "flat": (lambda x: x.flatten(1), "images of 60; the data set declares 3×4×5"),
    "double": (lambda x: x.double(), "pixels are float64; give float32"),
    "half": (lambda x: x.half(), "pixels are float16; give float32"),
    "int64": (lambda x: x.long(), "pixels are int64; give float32"),
    "numpy": (lambda x: x.numpy(), "pixels must be a torch.Tensor, dense; given a float32 array"),
    "sparse": (lambda x: x.to_sparse(), "pixels must be a torch.Tensor, dense"),
    "elsewhere": (lambda x: x.to("meta"), "pixels are on meta; give them on the CPU"),
}


@pytest.mark.parametrize(("change", "message"), PIXELS.values(), ids=PIXELS)
def test_pixels_are_finite_and_of_the_declared_shape(change: Callable[[Tensor], Tensor], message: str) -> None:
    assert message in refused(Data(load=changed(stored=change)))


def test_a_missing_channel_is_told_where_there_is_one() -> None:
    grey = {"stored": torch.rand(9, 4, 5), "labels": torch.arange(9) % 3}
    whole = {name: part(n, stored=torch.rand(n, 1, 4, 5)) for name, n in N_PARTS.items()}
    message = refused(Data(shape=(1, 4, 5), load=lambda: Splits(**{**whole, "test": Images(**grey)})))
    assert (
        message == "test: images of 4×5; the data set declares 1×4×5; the channel is missing, use images.unsqueeze(1)"
    )


DECLARED = {
    "no shape": ({"shape": None}, "shape must be (channels, height, width), three whole numbers from 1; given nothing"),
    "two sizes": ({"shape": (4, 5)}, "shape must be (channels, height, width)"),
    "a shape of 0": ({"shape": (0, 4, 5)}, "given (0, 4, 5)"),
    "a shape of floats": ({"shape": (3.0, 4, 5)}, "given (3.0, 4, 5)"),
    "a number as shape": ({"shape": 8}, "given 8"),
    "one class": ({"n_classes": 1}, "n_classes must be a whole number from 2; given 1"),
    "no classes": ({"n_classes": None}, "n_classes must be a whole number from 2; given nothing"),
    "classes in words": ({"n_classes": "3"}, "given '3'"),
    "no test images": ({"n_test": 0}, "n_test must be a whole number from 1; given 0"),
    "test images not told": ({"n_test": None}, "n_test must be a whole number from 1; given nothing"),
    "half an image": ({"n_trained": 1.5}, "n_trained must be a whole number from 1; given 1.5"),
    "nothing to load": ({"load": None}, "it has no method load"),
}


@pytest.mark.parametrize(("broken", "message"), DECLARED.values(), ids=DECLARED)
def test_what_is_declared_is_of_its_kind_and_found_before_loading(broken: dict[str, Any], message: str) -> None:
    assert message in refused(Data(**broken))
    with pytest.raises(FaultbenchError):
        require_declared(Data(**broken), "mine")


COUNTS = {"train": ("n_trained", 12), "calibration": ("n_held_out", 6), "test": ("n_test", 9)}


@pytest.mark.parametrize(("which", "attribute", "n_images"), [(part, *count) for part, count in COUNTS.items()])
def test_every_part_has_as_many_images_as_declared(which: str, attribute: str, n_images: int) -> None:
    message = refused(Data(**{attribute: 10}))
    assert message == f"{which}: {n_images} images; {attribute} declares 10"
    if attribute != "n_test":
        assert len(load_checked(Data(**{attribute: None}), "mine").test) == 9  # only `plan` needs the count


def raised(error: BaseException) -> Callable[[], Splits]:
    def load() -> Splits:
        raise error

    return load


LOADS = {
    "a tuple": (
        lambda: tuple(part(n) for n in N_PARTS.values()),
        "load gives a tuple; give faultbench.datasets.Splits",
    ),
    "nothing": (lambda: None, "load gives nothing; give faultbench.datasets.Splits"),
    "tensors": (lambda: splits(test=torch.rand(9, 3, 4, 5)), "test: a float32 tensor [9, 3, 4, 5] on cpu in Splits"),
    "an empty part": (lambda: splits(calibration=part(0)), "calibration: no images; every part needs some"),
    "an error": (raised(KeyError("label")), "KeyError: 'label'"),
    "an error of many lines": (raised(ValueError("one\ntwo")), "ValueError: one"),
    "an exit": (raised(SystemExit(0)), "SystemExit: 0"),
}


@pytest.mark.parametrize(("load", "message"), LOADS.values(), ids=LOADS)
def test_whatever_load_gives_or_raises_is_one_line(load: Callable[[], Any], message: str) -> None:
    assert message in refused(Data(load=load))


def test_two_loads_that_differ_are_refused() -> None:
    once, again = splits(), splits()
    require_repeatable(once, once, "mine")
    with pytest.raises(FaultbenchError, match="data set 'mine': train: two loads give different images or labels"):
        require_repeatable(once, again, "mine")
    relabelled = Splits(once.train, once.calibration, Images(once.test.stored, 2 - once.test.labels))
    with pytest.raises(FaultbenchError, match="test: two loads"):
        require_repeatable(once, relabelled, "mine")


AUGMENTS = {
    "another shape": (lambda x, _: x[..., 1:], r"given a float32 tensor \[2, 3, 4, 4\]"),
    "fewer images": (lambda x, _: x[1:], r"given a float32 tensor \[1, 3, 4, 5\]"),
    "another type": (lambda x, _: x.double(), "given a float64 tensor"),
    "nothing": (lambda _x, _: None, "given nothing"),
    "a pair": (lambda x, _: (x, x), "given a tuple"),
    "elsewhere": (lambda x, _: x.to("meta"), "on meta"),
    "an error": (lambda x, _: x.nothing, "augment: AttributeError: "),
    "no generator": (lambda x: x, "augment: TypeError: "),
    "no method": (None, "it has no method augment"),
}


@pytest.mark.parametrize(("augment", "message"), AUGMENTS.values(), ids=AUGMENTS)
def test_augment_gives_batches_as_it_gets_them(augment: object, message: str) -> None:
    dataset = Data()
    dataset.augment = augment  # type: ignore[attr-defined]  # plug-ins define it
    with pytest.raises(FaultbenchError, match=f"data set 'mine': .*{message}|data set 'mine': {message}"):
        checked_augment(dataset, "mine")(torch.rand(2, 3, 4, 5), torch.Generator())
