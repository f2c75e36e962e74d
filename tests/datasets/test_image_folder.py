"""Tests of data sets that are folders of a user's own images."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faultbench.campaign import CampaignError, parse_campaign
from faultbench.datasets import Images
from faultbench.datasets.decoded_cache import cached_images
from faultbench.datasets.image_file import read_square
from faultbench.datasets.image_folder import Folder, _listing_digest
from faultbench.runner.subjects.builder import dataset_splits
from faultbench.runner.subjects.components import build_components
from faultbench.system.errors import FaultbenchError
from tests.builders.datasets import write_classes


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path / "data"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder with two classes of ten images each."""
    write_classes(tmp_path / "images", {"cat": 10, "dog": 10})
    return tmp_path / "images"


def bytes_of(path: Path) -> bytes:
    return np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes()


def test_every_image_is_in_one_part_with_the_class_of_its_folder(images: Path) -> None:
    folder = Folder(str(images))
    loaded = folder.load()
    assert (folder.n_trained, folder.n_held_out) == (len(loaded.train), len(loaded.calibration))
    found = {
        row.numpy().tobytes(): int(label)
        for part in (loaded.train, loaded.calibration, loaded.test)
        for row, label in zip(part.stored, part.labels, strict=True)
    }
    assert found == {bytes_of(path): int(path.parent.name == "dog") for path in images.glob("*/*.png")}
    assert [len(part) for part in (loaded.train, loaded.calibration, loaded.test)] == [13, 3, 4]


def test_the_share_asked_for_is_tested_of_every_class_and_known_before_loading(images: Path) -> None:
    dataset = Folder(str(images), test_share=0.5)
    assert (dataset.n_test, dataset.n_classes, dataset.shape) == (10, 2, (3, 32, 32))
    assert sorted(dataset.load().test.labels.tolist()) == [0] * 5 + [1] * 5


def test_train_and_test_folders_are_taken_as_they_are(images: Path, tmp_path: Path) -> None:
    write_classes(tmp_path / "both" / "test", {"cat": 3, "dog": 4})
    images.rename(tmp_path / "both" / "train")
    loaded = Folder(str(tmp_path / "both")).load()
    assert sorted(loaded.test.labels.tolist()) == [0] * 3 + [1] * 4
    assert {row.numpy().tobytes() for row in loaded.test.stored} == {
        bytes_of(path) for path in (tmp_path / "both" / "test").glob("*/*")
    }


def test_the_first_images_of_a_part_are_of_all_classes(tmp_path: Path) -> None:
    write_classes(tmp_path / "many", {str(number): 20 for number in range(4)})
    loaded = Folder(str(tmp_path / "many"), test_share=0.5).load()
    assert all(len(part.labels[:10].unique()) > 2 for part in (loaded.train, loaded.test))


def test_images_are_cut_to_a_square_about_the_middle_and_scaled(images: Path) -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = (10, 20, 30)  # the part that remains after cropping
    for name in ("cat", "dog"):
        Image.fromarray(wide).save(images / name / "wide.png")
    stored = Folder(str(images), size=5, test_share=0.5).load()
    pixels = torch.cat([part.stored for part in (stored.train, stored.calibration, stored.test)])
    # Scaling may mix a little from outside the crop into the outermost pixels.
    middle, expected = pixels[:, :, :, 1:4], torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
    assert sum(torch.equal(row, expected.expand(3, 5, 3)) for row in middle) == 2


def test_grey_is_one_channel_and_colours_and_palettes_are_read_as_either(images: Path) -> None:
    Image.new("L", (8, 8), 77).save(images / "cat" / "grey.jpg", quality=100)
    Image.new("P", (8, 8)).save(images / "dog" / "palette.gif")
    assert Folder(str(images), channels=1).load().train.stored.shape[1:] == (1, 32, 32)
    assert Folder(str(images)).load().train.stored.shape[1:] == (3, 32, 32)


def test_changed_files_are_decoded_again_and_others_are_not(images: Path) -> None:
    for path in images.glob("*/*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))  # a file of the same length for every image of this size
        path.unlink()
    before = Folder(str(images)).load().test.stored.clone()
    assert torch.equal(Folder(str(images)).load().test.stored, before)
    for path in images.glob("*/*.bmp"):
        status = path.stat()
        Image.new("RGB", (32, 32)).save(path)
        assert path.stat().st_size == status.st_size
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert int(Folder(str(images)).load().test.stored.sum()) == 0


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def write_broken_png(images: Path) -> None:
    """Write a large PNG file whose second data chunk has an invalid name. Pillow raises SyntaxError for it."""
    write_classes(images.parent / "large", {"x": 1}, side=256)
    whole = (images.parent / "large" / "x" / "000.png").read_bytes()
    start = whole.index(b"IDAT", whole.index(b"IDAT") + 4)
    (images / "cat" / "a.png").write_bytes(whole[:start] + b"\xc9" + whole[start + 1 :])


DAMAGES = {
    "nothing": (lambda images: images.rename(images.with_name("x")), "images: no such folder; relative paths start at"),
    "a file": (lambda images: (images.rename(images.with_name("x")), images.touch()), "images: not a folder; "),
    "no classes": (
        lambda images: [(remove(path), path.rmdir()) for path in list(images.iterdir())],
        "images: holds no folder; give at least two folders of images, one per class",
    ),
    "one class": (lambda images: (remove(images / "dog"), (images / "dog").rmdir()), "images: holds one class, 'cat'"),
    "an empty class": (lambda images: remove(images / "dog"), "dog: holds no image; every class needs some"),
    "a folder in a class": (lambda images: (images / "cat" / "in").mkdir(), "in: a folder where an image should be"),
    "a text": (lambda images: (images / "cat" / "a.txt").write_text("x"), "a.txt: not an image that Pillow can read"),
    "an image cut short": (
        lambda images: (images / "cat" / "a.png").write_bytes((images / "cat" / "000.png").read_bytes()[:900]),
        "a.png: not an image that Pillow can read",
    ),
    "a broken image": (write_broken_png, "a.png: not an image that Pillow can read: broken PNG file"),
    "16 bits": (
        lambda images: Image.fromarray(np.zeros((4, 4), np.uint16)).save(images / "cat" / "a.png"),
        "a.png: has pixels of mode I;16; give images of 8 bits per channel",
    ),
    "a class of one": (
        lambda images: [path.unlink() for path in sorted((images / "cat").iterdir())[1:]],
        r"cat: 1 image\(s\) leave none to train on",
    ),
    "nothing in a file": (
        lambda images: (images / "cat" / "a.png").touch(),
        "a.png: not an image that Pillow can read: none of BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP; take it out",
    ),
    "PostScript": (
        lambda images: Image.new("RGB", (8, 8)).save(images / "cat" / "a.png", "EPS"),
        "a.png: not an image that Pillow can read: none of BMP",
    ),
    "floats": (
        lambda images: Image.fromarray(np.zeros((4, 4), np.float32)).save(images / "cat" / "a.tif"),
        "a.tif: has pixels of mode F; give images of 8 bits per channel",
    ),
    "a pipe": (lambda images: os.mkfifo(images / "cat" / "a.png"), "a.png: not a regular file, where an image should"),
    "a device": (lambda images: (images / "cat" / "a.png").symlink_to("/dev/zero"), "a.png: not a regular file"),
    "a link to nothing": (
        lambda images: (images / "cat" / "a.png").symlink_to("nowhere"),
        "a.png: cannot be read: No such file",
    ),
    "a link to itself": (lambda images: (images / "cat" / "a.png").symlink_to("a.png"), "a.png: cannot be read: "),
    "a bomb": (
        lambda images: Image.new("1", (40_000, 4_000)).save(images / "cat" / "a.png"),
        "a.png: 40,000×4,000 pixels; give images of at most 100,000,000",
    ),
    "a name that a terminal obeys": (
        lambda images: (images / "\x1b]0;pwned\x07c\nfaultbench: all is well").mkdir(),
        r"\\x1b\]0;pwned\\x07c\\nfaultbench: all is well: holds no image",
    ),
    "classes that differ": (
        lambda images: (
            write_classes(images / "train", {"cat": 2, "dog": 2}),
            write_classes(images / "test", {"cat": 2, "owl": 2}),
        ),
        "images: class 'dog' is not in both train and test",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_wrong_with_a_folder_is_one_line_that_names_the_place(
    damage: object, message: str, images: Path
) -> None:
    damage(images)  # type: ignore[operator]  # a function of the folder
    with pytest.raises(FaultbenchError, match=message) as raised:
        Folder(str(images)).load()
    assert str(raised.value).startswith(str(images.parent))
    assert "\n" not in str(raised.value)


SEEN = np.zeros((32, 32, 3), np.uint8)
"""White at the top and red at the left, so that every rotation and reflection of it is another image."""
SEEN[:8], SEEN[8:, :8, 0] = 255, 255

UNDONE = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0, 2),
    6: lambda seen: np.rot90(seen),
    7: lambda seen: seen[::-1, ::-1].transpose(1, 0, 2),
    8: lambda seen: np.rot90(seen, -1),
}
"""Orientation in EXIF → the image that a camera stores with it, so that a viewer shows SEEN."""


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", UNDONE)
def test_a_photograph_is_turned_as_its_exif_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(UNDONE[orientation](SEEN)))
    stored.save(tmp_path / f"a.{suffix}", exif=exif, lossless=True, quality=100, subsampling=0)
    difference = read_square(tmp_path / f"a.{suffix}", 32, 3).astype(int) - SEEN.transpose(2, 0, 1)
    assert np.abs(difference).max() <= (5 if suffix == "jpg" else 0)


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0", b"\xff" * 50])
def test_damaged_exif_is_as_none(exif: bytes, tmp_path: Path) -> None:
    Image.fromarray(SEEN).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_square(tmp_path / "a.png", 32, 3), SEEN.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_there_is_not_turns_nothing(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(SEEN).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_square(tmp_path / "a.png", 32, 3), SEEN.transpose(2, 0, 1))


def test_what_was_decoded_before_photographs_were_turned_is_decoded_again(images: Path, tmp_path: Path) -> None:
    folder = Folder(str(images))
    stale = Images(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    name = sorted(path.stem for path in (tmp_path / "data" / "decoded").glob("*")) or None
    assert name is None
    folder.load()
    (kept,) = (tmp_path / "data" / "decoded").glob("*-test.safetensors")
    kept.unlink()
    cached_images(
        kept.stem, _listing_digest(folder._files[1]), lambda: stale
    )  # the text by which earlier versions identified the files
    assert kept.exists()
    assert int(Folder(str(images)).load().test.stored.sum()) > 0


def test_modes_of_eight_bits_are_taken_and_an_animation_by_its_first_image(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((0, 255, 0), (255, 0, 0))]
    for suffix in ("gif", "webp", "tif", "png"):
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        red, green, blue = read_square(tmp_path / f"a.{suffix}", 8, 3)[:, 0, 0].tolist()
        assert green > 250 > 5 > max(red, blue)  # WebP is lossy
    for mode, suffix in {"1": "png", "L": "png", "LA": "png", "P": "png", "RGBA": "png", "CMYK": "tif"}.items():
        Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / f"b.{suffix}")
        assert read_square(tmp_path / f"b.{suffix}", 8, 3).min() == 255


def test_hidden_files_are_left_out(images: Path) -> None:
    (images / ".cache").mkdir()
    (images / "cat" / ".DS_Store").write_text("x")
    assert Folder(str(images)).n_test == 4


def campaign(folder: Path, place: str) -> str:
    folder.mkdir(exist_ok=True)
    return (
        f"name: own\ndatasets: [{{name: 'folder:{place}', size: 8, channels: 1}}]\nmodels: [digits_cnn]\n"
        "schemes: [relu]\nbers: [1e-4]\ntrials: 6\n"
    )


def test_a_relative_path_starts_at_the_campaign_file(images: Path, tmp_path: Path) -> None:
    (tmp_path / "campaigns").mkdir()
    text = campaign(tmp_path / "campaigns", "../images")
    subject = parse_campaign(text, tmp_path / "campaigns" / "own.yaml").subjects[0]
    assert dataset_splits(subject.dataset).test.stored.shape == (4, 1, 8, 8)
    assert build_components(subject).n_images == 4


def test_a_path_that_leads_nowhere_is_an_error_with_its_place_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(CampaignError) as raised:
        parse_campaign(campaign(tmp_path, "images"), tmp_path / "own.yaml")
    assert str(raised.value) == (
        f"{tmp_path}/own.yaml:2:19: datasets[0]: no such file or folder; given 'images'; "
        "relative paths start at the campaign file's folder"
    )


OUTSIDE = {
    "an absolute path": (lambda _, outer: str(outer), "outside of the campaign's folder; given '/"),
    "two dots": (lambda _, outer: f"../{outer.name}", "outside of the campaign's folder; given '../outer'"),
    "a linked folder": (
        lambda inner, outer: (inner / "linked").symlink_to(outer) or "linked",
        "outside of the campaign's folder; given 'linked'",
    ),
    "a linked class": (
        lambda inner, outer: (inner / "images" / "owl").symlink_to(outer / "cat") or "images",
        "outside of the campaign's folder, by the link 'owl'; given 'images'",
    ),
    "a linked image": (
        lambda inner, outer: (inner / "images" / "cat" / "a.png").symlink_to(outer / "cat" / "000.png") or "images",
        "outside of the campaign's folder, by the link 'cat/a.png'; given 'images'",
    ),
    "links behind a link": (
        lambda inner, outer: (
            (inner / "pool").mkdir(),
            [(inner / "pool" / f"{n}.png").symlink_to(outer / "cat" / f"00{n}.png") for n in (0, 1)],
            (inner / "images" / "owl").symlink_to(inner / "pool"),
            "images",
        )[-1],
        "outside of the campaign's folder, by the link 'owl/0.png'; given 'images'",
    ),
}


@pytest.mark.parametrize(("lead", "message"), OUTSIDE.values(), ids=OUTSIDE)
def test_what_leads_out_of_the_campaigns_folder_needs_leave(
    lead: Callable[[Path, Path], str], message: str, tmp_path: Path
) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    for folder in (inner / "images", outer):
        write_classes(folder, {"cat": 6, "dog": 6}, side=8)
    text = campaign(inner, lead(inner, outer))
    with pytest.raises(CampaignError) as raised:
        parse_campaign(text, inner / "own.yaml", allow_outside=False)
    assert f"datasets[0]: {message}" in str(raised.value)
    assert str(raised.value).endswith("add --allow-outside to read it")
    assert build_components(parse_campaign(text, inner / "own.yaml").subjects[0]).n_images >= 2


def test_links_inside_of_the_campaigns_folder_need_none_and_their_files_are_in_the_keys(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    write_classes(inner / "images", {"cat": 6}, side=8)
    write_classes(inner / "pool", {"dog": 6}, side=8)
    (inner / "images" / "dog").symlink_to("../pool/dog")
    (inner / "images" / "dog" / ".again").symlink_to(inner / "images")  # a circle
    text = campaign(inner, "images")
    before = parse_campaign(text, inner / "own.yaml", allow_outside=False).cells[0].key
    (inner / "pool" / "dog" / "000.png").write_bytes(b"other")
    assert parse_campaign(text, inner / "own.yaml", allow_outside=False).cells[0].key != before


@pytest.mark.parametrize("place", ["pipe", "/dev/zero"])
def test_a_pipe_or_a_device_in_place_of_the_folder_is_not_waited_for(place: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CampaignError, match="neither a regular file nor a folder"):
        parse_campaign(campaign(tmp_path, place), tmp_path / "own.yaml")


def test_cells_keep_their_keys_when_images_move_with_the_campaign_and_lose_them_when_images_change(
    images: Path, tmp_path: Path
) -> None:
    def key(folder: Path) -> str:
        return parse_campaign(campaign(folder, "images"), folder / "own.yaml").cells[0].key

    before = key(tmp_path)
    shutil.copytree(images, tmp_path / "moved" / "images")
    assert key(tmp_path / "moved") == before
    (images / ".hidden").touch()
    assert key(tmp_path) == before
    (images / "cat" / "more.png").write_bytes(bytes_of(images / "cat" / "000.png"))
    longer = key(tmp_path)
    (images / "cat" / "more.png").write_bytes(b"other")
    assert len({before, longer, key(tmp_path)}) == 3


def test_an_absolute_path_longer_than_what_messages_quote_is_taken_whole(images: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 200)
    images.rename(long)
    assert (
        build_components(parse_campaign(campaign(tmp_path, str(long)), tmp_path / "own.yaml").subjects[0]).n_images == 4
    )


@pytest.mark.slow
def test_worker_processes_read_the_folder_by_the_data_directory_given(images: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(campaign(tmp_path, "images"), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "FAULTBENCH_DATA"}
    environment |= {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "faultbench", "run", "own.yaml", "--workers=2", "--data-dir=given"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "given" / "decoded").glob("folder-*.safetensors"))) == 2
    assert not list((tmp_path / "home").rglob("*.safetensors"))
