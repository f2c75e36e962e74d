"""Tests of the cache of decoded images: a file with a checksum that processes share."""

import hashlib
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from faultbench.datasets import Images
from faultbench.datasets.decoded_cache import cached_images
from faultbench.networks.training import shuffled
from faultbench.runner.subjects.digests import images_digest

N_IMAGES = 40


def made(seed: int = 0) -> Images:
    """Return 40 images of random bytes in which every value occurs."""
    values = np.random.default_rng(seed).permutation(np.arange(N_IMAGES * 3 * 8 * 8) % 256).astype(np.uint8)
    return Images(torch.from_numpy(values.reshape(N_IMAGES, 3, 8, 8)), torch.arange(N_IMAGES) % 10)


def refused() -> Images:
    raise AssertionError("decoded again")


def same(one: Images, other: Images) -> bool:
    return torch.equal(one.stored, other.stored) and torch.equal(one.labels, other.labels)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the data folder, with the user's cache in another folder."""
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data"


def only_file(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def test_images_are_decoded_once_and_then_read_from_their_file(root: Path) -> None:
    assert same(cached_images("x", "source", made), made())
    assert same(cached_images("x", "source", refused), made())
    assert only_file(root) == root / "decoded" / "x.safetensors"
    assert only_file(root).stat().st_mode & 0o777 == root.stat().st_mode & 0o644


def test_the_file_is_mapped_and_a_write_to_the_images_stays_in_this_process(root: Path) -> None:
    images = cached_images("x", "source", made)
    assert str(only_file(root)) in Path("/proc/self/maps").read_text(encoding="utf-8")
    images.stored.fill_(0)
    assert same(cached_images("x", "source", refused), made())


def flipped(at: int) -> Callable[[bytes], bytes]:
    """Return a function that flips one bit of the byte at this position."""
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "last pixel": flipped(-1),
    "first label": flipped(-N_IMAGES * (3 * 8 * 8 + 8)),
    "header": flipped(20),
    "length of the header": flipped(0),
    "cut short": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "empty": lambda data: data[:0],
    "something else": lambda data: b"not images" + data,
    "another shape": lambda data: data.replace(b"[40,3,8,8]", b"[40,8,3,8]"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_again(damage: Callable[[bytes], bytes], root: Path) -> None:
    cached_images("x", "source", made)
    path = only_file(root)
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    assert path.read_bytes() != intact
    assert same(cached_images("x", "source", made), made())
    assert only_file(root) == path
    assert same(cached_images("x", "source", refused), made())


def test_what_comes_from_something_else_is_made_again(root: Path) -> None:
    cached_images("x", "source", made)
    assert same(cached_images("x", "another source", lambda: made(1)), made(1))
    assert same(cached_images("x", "another source", refused), made(1))


def test_where_the_data_folder_cannot_be_written_the_users_cache_has_the_file(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (root / "decoded").write_text("a file where the folder would be")
    assert same(cached_images("x", "source", made), made())
    assert same(cached_images("x", "source", refused), made())
    assert only_file(tmp_path / "cache").is_relative_to(tmp_path / "cache" / "faultbench")


def test_the_users_cache_tells_data_folders_apart(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (0, 1):
        monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path / f"data{number}"))
        (tmp_path / f"data{number}").mkdir()
        (tmp_path / f"data{number}" / "decoded").touch()
        cached_images("x", "source", lambda number=number: made(number))  # type: ignore[misc]  # the default binds the number of this round
        assert same(cached_images("x", "source", refused), made(number))


def test_where_nothing_can_be_written_the_images_are_there_all_the_same(root: Path, tmp_path: Path) -> None:
    for folder in (root, tmp_path / "cache"):
        folder.write_text("a file where the folder would be")
    assert same(cached_images("x", "source", made), made())


def decode_in_a_process(start: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[bool]") -> None:
    start.wait()
    results.put(all(same(cached_images(f"x{number}", "source", made), made()) for number in range(20)))


@pytest.mark.slow
def test_two_processes_that_make_the_same_files_at_once_both_get_them_whole(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=decode_in_a_process, args=(start, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=120) for _ in workers] == [True, True]
    for worker in workers:
        worker.join()
    assert sorted(path.name for path in root.rglob("*.*")) == sorted(f"x{n}.safetensors" for n in range(20))
    assert all(same(cached_images(f"x{number}", "source", refused), made()) for number in range(20))


def test_a_byte_is_its_255th_part_bit_for_bit_in_every_batch_and_order() -> None:
    images = made()
    # numpy's division of all images at once is another implementation, which rounds once, as IEEE 754 defines.
    whole = torch.from_numpy(images.stored.numpy().astype(np.float32) / np.float32(255))
    assert set(images.stored.unique().tolist()) == set(range(256))
    assert torch.equal(images.pixels.view(torch.int32), whole.view(torch.int32))
    for batch in (1, 7, 40):
        together = torch.cat([part.pixels for part in images.batches(batch)])
        assert torch.equal(together.view(torch.int32), whole.view(torch.int32))
    order = torch.randperm(N_IMAGES, generator=torch.Generator().manual_seed(0))
    assert torch.equal(images.select(order).pixels.view(torch.int32), whole[order].view(torch.int32))
    assert torch.equal(images.first(9).pixels.view(torch.int32), whole[:9].view(torch.int32))


def test_training_sees_the_same_batches_of_bytes_as_of_floats() -> None:
    images = made()
    epochs = [
        list(shuffled(source, 16, lambda pixels, _: pixels, torch.Generator().manual_seed(3)))
        for source in (images, Images(images.pixels, images.labels))
    ]
    assert len(epochs[0]) == 3
    for (pixels, labels), (others, other_labels) in zip(*epochs, strict=True):
        assert torch.equal(pixels.view(torch.int32), others.view(torch.int32))
        assert torch.equal(labels, other_labels)


def test_the_digest_of_images_does_not_depend_on_how_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    images = made()
    digests = {images_digest(images), images_digest(Images(images.pixels, images.labels))}
    monkeypatch.setattr("faultbench.runner.subjects.digests.N_TOGETHER", 7)
    digests.add(images_digest(images))
    # Earlier versions, which kept images as floats, digested these bytes of pixels and labels.
    floats = images.stored.numpy().astype(np.float32) / np.float32(255)
    digests.add(hashlib.sha256(floats.tobytes() + images.labels.numpy().tobytes()).hexdigest())
    assert len(digests) == 1
