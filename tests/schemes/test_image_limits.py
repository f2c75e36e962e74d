"""Options that limit the images of a search or a training: labels of the other images are never read."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from faultbench.datasets import Images
from faultbench.schemes.fitact import FitAct
from faultbench.schemes.ft_clipact import FtClipAct
from faultbench.schemes.hyrelu_proact import HyreluProact
from faultbench.schemes.scheme import Fitting
from tests.builders.fittings import on_noise
from tests.builders.networks import same_bits

N = 12
FEW: dict[str, tuple[Any, str]] = {
    "ft_clipact": (FtClipAct(search_images=N, rates=(1e-4, 1e-3)), "calibration"),
    "fitact": (FitAct(train_images=N, learning_rate=0.05), "train"),
    "hyrelu_proact": (HyreluProact(train_images=N, tolerance=1.0), "train"),
}
ALL = {"ft_clipact": "search_images", "fitact": "train_images", "hyrelu_proact": "train_images"}


def mislabelled(fitting: Fitting, part: str) -> Fitting:
    """Return a fitting whose labels of one part are wrong from the N-th image on."""
    images: Images = getattr(fitting, part)
    labels = images.labels.clone()
    labels[N:] = (labels[N:] + 1) % 3
    return replace(fitting, **{part: Images(images.stored, labels)})


def bounds(scheme: Any, fitting: Fitting) -> torch.Tensor:
    return torch.cat([value.flatten() for value in scheme.fit(fitting).bounds.values()])


@pytest.mark.parametrize("name", FEW)
def test_labels_beyond_the_images_asked_for_are_not_read(name: str) -> None:
    scheme, part = FEW[name]
    assert same_bits(bounds(scheme, on_noise()), bounds(scheme, mislabelled(on_noise(), part)))
    everything = replace(scheme, **{ALL[name]: None})
    assert not same_bits(bounds(everything, on_noise()), bounds(everything, mislabelled(on_noise(), part)))
