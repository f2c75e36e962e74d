"""Contract of data sets: three parts that never mix, as declared, and the same in every load."""

from typing import Any

import pytest
import torch

from faultbench.datasets import Images, Splits
from faultbench.datasets.plugin_checks import checked_augment, load_checked, require_repeatable
from faultbench.testing.contract import Contract
from faultbench.testing.selection import Plugin

N_AUGMENTED = 50


def parts(splits: Splits) -> dict[str, Images]:
    """Return the parts by name."""
    return {"train": splits.train, "calibration": splits.calibration, "test": splits.test}


class TestDatasets(Contract):
    """Every data set, loaded whole."""

    kind = "dataset"

    @pytest.fixture(scope="class")
    @classmethod
    def dataset(cls, plugin: Plugin) -> Any:
        """Build the data set."""
        return plugin.build()

    @pytest.fixture(scope="class")
    @classmethod
    def splits(cls, plugin: Plugin, dataset: Any) -> Splits:
        """Load the three parts."""
        return cls.load(plugin, dataset)

    @classmethod
    def load(cls, plugin: Plugin, dataset: Any) -> Splits:
        """Load the three parts as a run does; FaultbenchError for parts that it would refuse."""
        return load_checked(dataset, plugin.name, plugin.file)

    def test_images_have_the_shape_and_number_that_are_known_before_loading(self, dataset: Any, splits: Splits) -> None:
        for name, images in parts(splits).items():
            assert images.pixels.shape[1:] == dataset.shape, f"{name}: shape says {dataset.shape}"
            assert (images.pixels.dtype, images.labels.dtype) == (torch.float32, torch.int64)
            assert len(images) == len(images.pixels) > 0
        assert len(splits.test) == dataset.n_test, f"n_test says {dataset.n_test}, load gives {len(splits.test)}"

    def test_every_class_is_in_every_part_and_no_other(self, dataset: Any, splits: Splits) -> None:
        for name, images in parts(splits).items():
            missing = set(range(dataset.n_classes)) ^ set(images.labels.tolist())
            assert not missing, f"{name}: no images of classes {sorted(missing)} of {dataset.n_classes}"

    def test_no_image_is_in_two_parts(self, splits: Splits) -> None:
        pixels = {name: {image.numpy().tobytes() for image in part.stored} for name, part in parts(splits).items()}
        for one, other in (("train", "calibration"), ("train", "test"), ("calibration", "test")):
            n_shared = len(pixels[one] & pixels[other])
            assert not n_shared, f"{n_shared} images are in {one} and in {other}: results would be too good"

    def test_loading_again_gives_the_same_parts(self, plugin: Plugin, splits: Splits) -> None:
        require_repeatable(splits, self.load(plugin, plugin.build()), plugin.name)

    def test_the_training_side_is_in_no_order_of_classes(self, dataset: Any, splits: Splits) -> None:
        for name, images in (("train", splits.train), ("calibration", splits.calibration)):
            n_first = len(set(images.labels[: 5 * dataset.n_classes].tolist()))
            assert n_first > dataset.n_classes // 2, f"{name} begins with few classes; use faultbench.datasets.shuffle"

    def test_augmentation_depends_on_its_generator_alone_and_leaves_the_images(
        self, plugin: Plugin, dataset: Any, splits: Splits
    ) -> None:
        augment, pixels = checked_augment(dataset, plugin.name, plugin.file), splits.train.pixels[:N_AUGMENTED]
        before = pixels.clone()
        first, again = (augment(pixels, torch.Generator().manual_seed(1)) for _ in range(2))
        assert torch.equal(first, again), "augment gives other images for the same generator"
        assert torch.equal(pixels, before), "augment changes the given images; return new ones"
