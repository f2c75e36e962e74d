"""Every data set keeps the same laws; those that are read from disk are made up there, smaller."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from faultbench import registry
from faultbench.datasets import Dataset, Images, Splits
from faultbench.errors import FaultbenchError

N_TEST, N_TRAIN_A_FILE = 10_000, 1200
"""CIFAR's own test size, and so few training images a file that 3,000 can still be held out."""


def write_cifar(root: Path, source: type[CIFAR10], key: str, n_classes: int) -> None:
    """Files laid out like CIFAR's, of random pixels; the checksums are not CIFAR's."""
    folder, rng = root / source.base_folder, np.random.default_rng(0)
    folder.mkdir()
    n_train = N_TRAIN_A_FILE * 5 // len(source.train_list)
    sizes = {name: n_train for name, _ in source.train_list} | {name: N_TEST for name, _ in source.test_list}
    for name, size in sizes.items():
        content = {
            "data": rng.integers(0, 256, (size, 3072), dtype=np.uint8),
            key: [i % n_classes for i in range(size)],
        }
        (folder / name).write_bytes(pickle.dumps(content))
    meta = {source.meta["key"]: [str(number) for number in range(n_classes)]}
    (folder / source.meta["filename"]).write_bytes(pickle.dumps(meta))


def is_there(path: str, md5: str) -> bool:
    return Path(path).is_file()


ON_DISK: dict[str, Callable[[Path], None]] = {
    "cifar10": lambda root: write_cifar(root, CIFAR10, "labels", 10),
    "cifar100": lambda root: write_cifar(root, CIFAR100, "fine_labels", 100),
}
"""Writers of what stands in for the files that a data set reads; the others bring their images along."""

PIECE = 400
"""Images looked at one by one."""


@pytest.fixture(scope="module", params=sorted(registry.catalogue("dataset")))
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registered data set's name, its files where it looks for them."""
    root = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTBENCH_DATA", str(root))
        if request.param in ON_DISK:
            ON_DISK[request.param](root)
            patch.setattr("torchvision.datasets.cifar.check_integrity", is_there)
        yield request.param


@pytest.fixture(scope="module")
def dataset(name: str) -> Dataset:
    return registry.build("dataset", name, {})


@pytest.fixture(scope="module")
def splits(dataset: Dataset) -> Splits:
    return dataset.load()


def parts(splits: Splits) -> list[Images]:
    return [splits.train, splits.calibration, splits.test]


def test_images_have_the_shape_that_is_known_before_loading(dataset: Dataset, splits: Splits) -> None:
    for images in parts(splits):
        assert images.pixels.shape[1:] == dataset.shape
        assert (images.pixels.dtype, images.labels.dtype) == (torch.float32, torch.int64)
        assert len(images) == len(images.pixels) > 0
    assert len(splits.test) == dataset.n_test


def test_pixels_are_in_0_to_1_and_use_that_range(splits: Splits) -> None:
    for images in parts(splits):
        assert (images.pixels.min().item(), images.pixels.max().item()) == (0.0, 1.0)


def test_every_class_is_in_every_part_and_no_other(dataset: Dataset, splits: Splits) -> None:
    for images in parts(splits):
        assert images.labels.unique().tolist() == list(range(dataset.n_classes))


def test_no_image_is_in_two_parts(splits: Splits) -> None:
    pixels = [{image.numpy().tobytes() for image in images.first(PIECE).pixels} for images in parts(splits)]
    everything = [{image.numpy().tobytes() for image in images.pixels} for images in parts(splits)]
    for index in range(3):
        assert not any(pixels[index] & everything[other] for other in range(3) if other != index)


def test_loading_again_gives_the_same_parts(dataset: Dataset, splits: Splits) -> None:
    for again, images in zip(parts(dataset.load()), parts(splits), strict=True):
        assert torch.equal(again.pixels[:PIECE], images.pixels[:PIECE])
        assert torch.equal(again.labels, images.labels)


def test_the_training_side_is_in_no_order_of_classes(dataset: Dataset, splits: Splits) -> None:
    for images in (splits.train, splits.calibration):
        assert len(images.labels[: 5 * dataset.n_classes].unique()) > dataset.n_classes // 2


def test_augmentation_depends_on_its_generator_alone_and_leaves_the_images(dataset: Dataset, splits: Splits) -> None:
    pixels = splits.train.pixels[:50]
    before = pixels.clone()
    first, again, other = (dataset.augment(pixels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == pixels.shape
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", sorted(ON_DISK))
def test_a_folder_without_the_files_is_an_error_that_names_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path))
    dataset = registry.build("dataset", name, {})
    folder = tmp_path / dataset.source.base_folder
    folder.mkdir()  # there, so that nothing is downloaded; and empty
    with pytest.raises(FaultbenchError, match="FAULTBENCH_DATA") as raised:
        dataset.load()
    assert str(raised.value).startswith(f"{folder}: no intact {dataset.source.__name__}")
    assert "\n" not in str(raised.value)
