"""Tests of the digits that are part of the package, and of random shifts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor

from faultbench.datasets import Images, Splits
from faultbench.datasets.digits import Digits, _read
from faultbench.datasets.images import mirror_randomly, shift_randomly


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(images: Images) -> list[tuple[bytes, int]]:
    """Return the bytes and the label of every image, sorted."""
    return sorted((p.numpy().tobytes(), int(label)) for p, label in zip(images.pixels, images.labels, strict=True))


def test_the_digits_are_those_of_scikit_learn_value_by_value() -> None:
    ours, theirs = _read(), load_digits()
    assert np.array_equal(ours.pixels.numpy() * 16, theirs.images[:, None])
    assert np.array_equal(ours.labels.numpy(), theirs.target)


def test_the_parts_share_no_digit_and_leave_none_out(digits: Splits) -> None:
    parts = [digits.train, digits.calibration, digits.test]
    assert [len(part) for part in parts] == [1097, 200, 500]
    # All digits differ, so a digit in two parts would leave another one out.
    everything = rows(_read())
    assert len(set(everything)) == len(everything)
    assert sorted(row for part in parts for row in rows(part)) == everything


def test_the_parts_are_those_that_recorded_results_were_made_with(digits: Splits) -> None:
    # If this fails, networks are trained and tested on other digits, and all results change.
    assert digits.test.labels[:12].tolist() == [5, 7, 7, 2, 7, 2, 5, 2, 9, 5, 0, 2]
    assert digits.calibration.labels[:12].tolist() == [5, 5, 2, 0, 1, 1, 9, 6, 4, 7, 0, 8]
    assert digits.train.labels[:12].tolist() == [9, 8, 9, 6, 3, 9, 7, 9, 2, 1, 0, 3]


def shifted_slowly(pixels: Tensor, offsets: Tensor, margin: int) -> Tensor:
    """Shift pixel by pixel: (y, x) comes from (y + offset − margin, x + …), or is 0 if that lies outside."""
    result = torch.zeros_like(pixels)
    n_images, n_channels, height, width = pixels.shape
    for image in range(n_images):
        down, right = (int(offset) - margin for offset in offsets[:, image])
        for y in range(height):
            for x in range(width):
                if 0 <= y + down < height and 0 <= x + right < width:
                    for channel in range(n_channels):
                        result[image, channel, y, x] = pixels[image, channel, y + down, x + right]
    return result


@pytest.mark.parametrize("margin", [0, 1, 4])
def test_a_shift_moves_every_pixel_of_an_image_alike_and_lets_zeros_in(margin: int) -> None:
    pixels = torch.rand(9, 2, 5, 7, generator=seeded(0)) + 1
    offsets = torch.randint(0, 2 * margin + 1, (2, 9), generator=seeded(3))
    assert torch.equal(shift_randomly(pixels, seeded(3), margin=margin), shifted_slowly(pixels, offsets, margin))


def test_all_shifts_within_the_margin_come_about_equally_often() -> None:
    pixels = torch.zeros(9000, 1, 3, 3)
    pixels[:, :, 1, 1] = 1
    places = shift_randomly(pixels, seeded(0), margin=1).mean(dim=(0, 1)).flatten() * 9000
    # The count of each of nine places is binomial with n = 9,000 and p = 1/9: mean 1,000, standard deviation 30.
    assert bool(((places - 1000).abs() < 150).all())


@given(seed=st.integers(0, 2**32))
def test_a_mirrored_image_is_the_image_or_its_mirror_image(seed: int) -> None:
    pixels = torch.arange(24.0).view(4, 1, 2, 3)
    for before, after in zip(pixels, mirror_randomly(pixels, seeded(seed)), strict=True):
        assert torch.equal(after, before) or torch.equal(after, before.flip(2))


def test_about_half_of_the_images_are_mirrored() -> None:
    after = mirror_randomly(torch.tensor([0.0, 1.0]).expand(10_000, 1, 1, 2), seeded(0))
    assert abs(float(after[:, 0, 0, 0].sum()) - 5000) < 250  # five standard deviations of 50


def test_first_takes_images_in_order_and_all_of_them_for_none(digits: Splits) -> None:
    assert torch.equal(digits.test.first(7).pixels, digits.test.pixels[:7])
    assert torch.equal(digits.test.first(7).labels, digits.test.labels[:7])
    assert len(digits.test.first(None)) == 500


@pytest.mark.parametrize("batch", [1, 7, 20, 50])
def test_batches_are_the_images_in_order(batch: int, digits: Splits) -> None:
    images = digits.test.first(20)
    batches = images.batches(batch)
    assert max(len(part) for part in batches[:-1] or batches) == min(batch, 20)
    assert torch.equal(torch.cat([part.pixels for part in batches]), images.pixels)
    assert torch.equal(torch.cat([part.labels for part in batches]), images.labels)


def test_images_without_their_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 images but 3 labels"):
        Images(torch.zeros(2, 1, 1, 1), torch.zeros(3, dtype=torch.int64))


def test_augmented_digits_are_moved_by_at_most_one_pixel() -> None:
    pixels = torch.zeros(200, 1, 8, 8)
    pixels[:, :, 4, 4] = 1
    moved = Digits().augment(pixels, seeded(0)).sum(dim=(0, 1)).nonzero()
    assert (moved.min().item(), moved.max().item()) == (3, 5)
