"""Tests of data sets that torchvision downloads, here from a server on this machine, with real checksums."""

import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, MNIST

from faultbench.campaign import parse_campaign
from faultbench.cli.main import _exit_code
from faultbench.datasets.cifar import Cifar10
from faultbench.datasets.mnist import Mnist
from faultbench.runner.subjects.digests import images_digest
from faultbench.system.errors import FaultbenchError
from tests.builders.datasets import unplugged, write_idx


class Quiet(SimpleHTTPRequestHandler):
    """Handler that serves files and does not log requests."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with MNIST's four files, compressed as they are published, with random images."""
    folder, rng = tmp_path_factory.mktemp("published"), np.random.default_rng(1)
    for kind, size in (("train", 500), ("t10k", Mnist.n_test)):
        write_idx(folder / "raw", kind, rng, size)
    for path in (folder / "raw").iterdir():
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    return folder


@pytest.fixture
def server(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make torchvision download MNIST from this machine, and expect the checksums of the files there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(packed))) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        md5s = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in packed.glob("*.gz")}
        monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{httpd.server_port}/"])
        monkeypatch.setattr(MNIST, "resources", [(name, md5s[name]) for name, _ in MNIST.resources])
        yield
        httpd.shutdown()


def test_what_is_not_there_is_downloaded_checked_and_decoded(server: None, packed: Path, tmp_path: Path) -> None:
    splits = Mnist(n_calibration=100).load()
    raw = np.frombuffer((packed / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    assert np.array_equal(splits.test.stored.numpy().reshape(-1), raw)
    assert splits.test.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert [len(part) for part in (splits.train, splits.calibration)] == [400, 100]
    assert sorted(path.name for path in (tmp_path / "decoded").iterdir()) == [
        "mnist-28-test.safetensors",
        "mnist-28-train.safetensors",
    ]


def test_packed_files_put_there_by_hand_are_enough(
    server: None, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    place = tmp_path / "MNIST" / "raw"
    place.mkdir(parents=True)
    for path in packed.glob("*.gz"):
        (place / path.name).write_bytes(path.read_bytes())
    assert len(Mnist(n_calibration=100).load().test) == Mnist.n_test


def test_a_download_with_another_checksum_is_refused(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [(name, "0" * 32) for name, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", wrong)
    with pytest.raises(FaultbenchError, match="not found or corrupted"):
        Mnist().load()


def test_files_cut_short_are_an_error_and_no_images(server: None, tmp_path: Path) -> None:
    Mnist(n_calibration=100).load()
    (tmp_path / "decoded" / "mnist-28-test.safetensors").unlink()
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FaultbenchError, match="no intact MNIST there"):
        Mnist(n_calibration=100).load()


def test_another_number_of_test_images_is_an_error(server: None, tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST" / "raw", "train", np.random.default_rng(0), 200)
    write_idx(tmp_path / "MNIST" / "raw", "t10k", np.random.default_rng(0), 200)
    with pytest.raises(FaultbenchError, match="holds 200 test images; MNIST has 10,000"):
        Mnist(n_calibration=100).load()


def test_32_pixels_are_28_in_a_black_frame_of_two(server: None) -> None:
    small, large = (Mnist(size=size, n_calibration=100) for size in (28, 32))
    assert (small.shape, large.shape) == ((1, 28, 28), (1, 32, 32))
    framed = large.load().test.stored
    assert tuple(framed.shape[1:]) == large.shape
    assert torch.equal(framed[:, :, 2:30, 2:30], small.load().test.stored)
    assert int(framed.sum()) == int(small.load().test.stored.sum())


def test_32_pixels_may_be_28_resized_by_bilinear_interpolation(server: None) -> None:
    small = Mnist(n_calibration=100).load().test.stored[:50, 0].double().numpy()
    resized = Mnist(size=32, resize=True, n_calibration=100).load().test.stored
    assert tuple(resized.shape[1:]) == (1, 32, 32)
    weights = np.zeros((32, 28))
    for row in range(32):  # by hand: the position of the centre of a pixel of 32 among the centres of 28
        place = min(max((row + 0.5) * 28 / 32 - 0.5, 0), 27)
        below = int(place)
        weights[row, below] += 1 - (place - below)
        weights[row, min(below + 1, 27)] += place - below
    assert np.array_equal(resized[:50, 0].numpy(), np.rint(weights @ small @ weights.T))


def test_resizing_is_another_data_set_and_not_resizing_has_the_key_that_it_had() -> None:
    def record(options: str) -> dict[str, object]:
        text = f"name: c\ndatasets: [{{name: mnist{options}}}]\nmodels: [digits_cnn]\nschemes: [relu]\nbers: [1e-4]\n"
        return parse_campaign(text, Path("c.yaml")).subjects[0].dataset.record

    assert record("") == record(", resize: false") == {"name": "mnist", "options": {"n_calibration": 3000, "size": 28}}
    resized = {"n_calibration": 3000, "size": 32, "resize": True}
    assert record(", size: 32, resize: true") == {"name": "mnist", "options": resized}


def test_a_campaign_without_its_data_ends_with_exit_code_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unplugged(monkeypatch)
    monkeypatch.setenv("FAULTBENCH_DATA", "")  # the option --data-dir changes it, and monkeypatch restores it
    path = tmp_path / "c.yaml"
    path.write_text("name: c\ndatasets: [fashion_mnist]\nmodels: [digits_cnn]\nschemes: [relu]\nbers: [1e-4]\n")
    arguments = ["run", str(path), "-o", str(tmp_path / "r"), "--data-dir", str(tmp_path / "data"), "--engine=serial"]
    assert _exit_code(arguments, debug=False) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path / 'data' / 'FashionMNIST' / 'raw'}: no intact FashionMNIST there" in error
    assert "t10k-labels-idx1-ubyte.gz there, from http" in error


REAL = Path(os.environ.get("FAULTBENCH_DATA", "/nowhere"))


@pytest.mark.skipif(not (REAL / CIFAR10.base_folder).is_dir(), reason="FAULTBENCH_DATA holds no CIFAR-10")
def test_the_real_cifar10_is_the_one_that_results_were_made_with() -> None:
    # The digest is of the float32 copy that faultbench 0.1 kept, pixels and then labels.
    splits = Cifar10().load()
    assert images_digest(splits.test) == "4c4a6dcf318a22ba79423c903b35082a1d4a6ed4e34d3657f43a2441273c87d2"
    assert [len(part) for part in (splits.train, splits.calibration, splits.test)] == [47_000, 3_000, 10_000]
