"""Every data set keeps the same laws; those that are read from disk are made up there, smaller."""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, SVHN, FashionMNIST

from faultbench import testing
from faultbench.datasets import Dataset, Splits
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError
from faultbench.testing.datasets import parts
from faultbench.testing.selection import Plugin
from tests.builders.contracts import OwnPlugins
from tests.builders.datasets import unplugged, write_classes, write_idx

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


def write_mnist(root: Path, source: type[MNIST]) -> None:
    """The four files of MNIST, unpacked: torchvision checks their checksums only when it unpacks them."""
    rng = np.random.default_rng(0)
    for kind, size in (("train", 5 * N_TRAIN_A_FILE), ("t10k", N_TEST)):
        write_idx(root / source.__name__ / "raw", kind, rng, size)


def write_svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Two files of MATLAB's, and their checksums in place of SVHN's."""
    rng, md5s = np.random.default_rng(0), {}
    for split, size in (("train", 5 * N_TRAIN_A_FILE), ("test", 26_032)):
        path = root / f"{split}_32x32.mat"
        digit = np.arange(size, dtype=np.uint8)[:, None] % 10 + 1
        savemat(path, {"X": rng.integers(0, 256, (32, 32, 3, size), dtype=np.uint8), "y": digit})
        md5s[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    patch.setattr(SVHN, "split_list", md5s)


ON_DISK: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "cifar10": lambda root, _: write_cifar(root, CIFAR10, "labels", 10),
    "cifar100": lambda root, _: write_cifar(root, CIFAR100, "fine_labels", 100),
    "mnist": lambda root, _: write_mnist(root, MNIST),
    "fashion_mnist": lambda root, _: write_mnist(root, FashionMNIST),
    "svhn": write_svhn,
    "folder:<path>": lambda root, _: write_classes(root / "images", dict.fromkeys(("cat", "dog", "owl"), 40)),
}
"""Writers of what stands in for the files that a data set reads; the others bring their images along."""

PUBLISHED = sorted(set(ON_DISK) - {"folder:<path>"})


class TestDatasets(OwnPlugins, testing.TestDatasets):
    examples: ClassVar = {"folder:<path>": ["folder:images"]}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def files(cls, plugin: Plugin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """The files of the data set, where it looks for them."""
        name = plugin.name.replace(":images", ":<path>")
        root = tmp_path_factory.mktemp("data")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FAULTBENCH_DATA", str(root))
            patch.chdir(root)
            if name in ON_DISK:
                ON_DISK[name](root, patch)
                patch.setattr("torchvision.datasets.cifar.check_integrity", is_there)
            yield

    @classmethod
    def load(cls, plugin: Plugin, dataset: Dataset) -> Splits:  # noqa: ARG003 - the contract's
        """Load without holding the counts against what is declared: the files here are smaller than the real ones."""
        return dataset.load()

    def test_pixels_are_in_0_to_1_and_use_that_range(self, splits: Splits) -> None:
        for images in parts(splits).values():
            assert (images.pixels.min().item(), images.pixels.max().item()) == (0.0, 1.0)

    def test_augmentation_varies_with_its_generator(self, dataset: Dataset, splits: Splits) -> None:
        pixels = splits.train.pixels[:50]
        first, other = (dataset.augment(pixels, torch.Generator().manual_seed(seed)) for seed in (1, 2))
        assert not torch.equal(first, other)

    def test_files_are_kept_in_a_byte_a_value_and_held_out_without_a_copy(self, plugin: Plugin, splits: Splits) -> None:
        if plugin.name != "digits":
            assert {images.stored.dtype for images in parts(splits).values()} == {torch.uint8}
            train, calibration = (images.stored.untyped_storage() for images in (splits.train, splits.calibration))
            assert train.data_ptr() == calibration.data_ptr()


@pytest.mark.parametrize("name", PUBLISHED)
def test_without_the_files_and_without_a_network_one_line_says_which_are_wanted_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path))
    unplugged(monkeypatch)
    dataset = registry.build("dataset", name, {})
    with pytest.raises(FaultbenchError, match="--data-dir or FAULTBENCH_DATA") as raised:
        dataset.load()
    message = str(raised.value)
    assert message.startswith(f"{dataset.folder}: no intact {dataset.source.__name__} there")
    assert f"put {', '.join(dataset.files)} there, from {dataset.origin}" in message
    assert len(dataset.files) >= 2
    assert dataset.folder.is_relative_to(tmp_path)
    assert "\n" not in message


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_so_many_calibration_images_are_held_out_as_asked_for_and_no_more_than_there_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path))
    ON_DISK[name](tmp_path, monkeypatch)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", is_there)
    few, many = (registry.build("dataset", name, {"n_calibration": n}).load() for n in (40, 1000))
    assert [len(few.train), len(few.calibration)] == [5960, 40]
    assert [len(many.train), len(many.calibration)] == [5000, 1000]
    assert torch.equal(few.calibration.stored, many.calibration.stored[:40])
    together = [torch.cat([split.calibration.stored, split.train.stored]) for split in (few, many)]
    assert torch.equal(*together)
    with pytest.raises(FaultbenchError, match="n_calibration: 6,000 of 6,000 training images leaves none"):
        registry.build("dataset", name, {"n_calibration": 6000}).load()
