"""The public CIFAR-10 ResNets load exactly: their published accuracies come out on the real test images.

The files of https://github.com/akamaster/pytorch_resnet_cifar10 are looked for in campaigns/weights/, where the
campaign wants them, and in ../shared/data/weights/; the images in FAULTBENCH_DATA and in ../shared/data/.
"""

import hashlib
import importlib.util
import os
from pathlib import Path

import pytest
import torch
from torchvision.datasets import CIFAR10

from faultbench.campaign.given_weights import GivenWeights
from faultbench.datasets import Images
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import store_parameters
from faultbench.networks.training import measure_accuracy
from faultbench.plugins import registry
from faultbench.runner.subjects.given_network import given_network
from tests.builders.networks import some_images

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
SHAPE = (3, 32, 32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FILES = {
    "resnet20": "resnet20-12fca82f.th",
    "resnet32": "resnet32-d509ac18.th",
    "resnet44": "resnet44-014dd654.th",
    "resnet56": "resnet56-4bfd9763.th",
}


def weights_of(name: str) -> Path:
    """The file of a network's public weights; skips where it is not."""
    for path in (ROOT / "campaigns" / "weights" / FILES[name], SHARED / "weights" / f"akamaster_{FILES[name]}"):
        if path.is_file():
            return path
    pytest.skip(f"{FILES[name]} is neither in campaigns/weights/ nor in ../shared/data/weights/")


@pytest.fixture(scope="module")
def test_images() -> Images:
    """The 10,000 test images of CIFAR-10; skips where they are not."""
    root = Path(os.environ.get("FAULTBENCH_DATA", "/nowhere"))
    if (root / CIFAR10.base_folder / "test_batch").is_file():
        found = CIFAR10(root, train=False, download=False)
        return Images(torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets))
    if (SHARED / "cifar10_test.zip").is_file():
        spec = importlib.util.spec_from_file_location("cifar_pack", SHARED / "cifar_pack.py")
        assert spec
        assert spec.loader
        pack = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pack)
        pixels, labels, *_ = pack.unpack(SHARED / "cifar10_test.zip")
        return Images(
            torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels["labels"], dtype=torch.int64)
        )
    pytest.skip("neither FAULTBENCH_DATA nor ../shared/data holds CIFAR-10's test images")


def loaded(name: str) -> Network:
    keys = (("module.", ""),)
    path = weights_of(name)
    given = GivenWeights(path, hashlib.sha256(path.read_bytes()).hexdigest(), keys, mean=MEAN, std=STD)
    model = registry.build("model", name, {}, shape=SHAPE, n_classes=10)
    return given_network(model.to(memory_format=torch.channels_last), given, some_images(8, shape=SHAPE))


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [("resnet20", 269_722), ("resnet32", 464_154), ("resnet44", 658_586), ("resnet56", 853_018)],
)
def test_every_public_file_is_its_networks(name: str, n_parameters: int) -> None:
    assert sum(parameter.numel() for parameter in loaded(name).graph.parameters()) == n_parameters


@pytest.mark.slow
def test_resnet20_is_as_accurate_as_published_and_q15_16_costs_less_than_a_tenth_of_a_point(
    test_images: Images,
) -> None:
    network = loaded("resnet20")
    assert measure_accuracy(network, test_images, batch=64) == pytest.approx(
        0.9173, abs=2e-4
    )  # rounding moves an image or two
    store_parameters(network, registry.build("number_format", "q15.16", {}))
    assert measure_accuracy(network, test_images, batch=64) == pytest.approx(0.9173, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "published"), [("resnet32", 0.9263), ("resnet44", 0.9310), ("resnet56", 0.9339)])
def test_the_deeper_ones_are_as_accurate_as_published(name: str, published: float, test_images: Images) -> None:
    # 2,000 of the 10,000 images: the standard deviation of what they give is √(p(1−p)/2000 · 0.8) < 0.0053 for
    # p > 0.925; four of them hold for 99.99 % of all choices. A shortcut or a scale that is wrong costs 10 points.
    found = measure_accuracy(loaded(name), test_images.first(2000), batch=64)
    assert found == pytest.approx(published, abs=4 * 0.0053)
