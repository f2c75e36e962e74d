"""Images of one's own, in class folders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import write_classes
from PIL import Image

from faultbench.campaign import CampaignError, parse_campaign
from faultbench.datasets.image_folder import Folder
from faultbench.runner.subjects.builder import splits
from faultbench.runner.subjects.components import parts
from faultbench.system.errors import FaultbenchError


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTBENCH_DATA", str(tmp_path / "data"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of ten images."""
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
    wide[:, 20:40] = (10, 20, 30)  # all that is left when the sides are cut off
    for name in ("cat", "dog"):
        Image.fromarray(wide).save(images / name / "wide.png")
    stored = Folder(str(images), size=5, test_share=0.5).load()
    pixels = torch.cat([part.stored for part in (stored.train, stored.calibration, stored.test)])
    # Of scaling, the outermost pixels may take a little from beyond the cut.
    middle, expected = pixels[:, :, :, 1:4], torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
    assert sum(torch.equal(row, expected.expand(3, 5, 3)) for row in middle) == 2


def test_grey_is_one_channel_and_colours_and_palettes_are_read_as_either(images: Path) -> None:
    Image.new("L", (8, 8), 77).save(images / "cat" / "grey.jpg", quality=100)
    Image.new("P", (8, 8)).save(images / "dog" / "palette.gif")
    assert Folder(str(images), channels=1).load().train.stored.shape[1:] == (1, 32, 32)
    assert Folder(str(images)).load().train.stored.shape[1:] == (3, 32, 32)


def test_changed_files_are_decoded_again_and_others_are_not(images: Path) -> None:
    for path in images.glob("*/*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))  # as long whatever it shows
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
    """A large one, of several pieces, the second of which has no proper name; Pillow raises SyntaxError."""
    write_classes(images.parent / "large", {"x": 1}, side=256)
    whole = (images.parent / "large" / "x" / "000.png").read_bytes()
    start = whole.index(b"IDAT", whole.index(b"IDAT") + 4)
    (images / "cat" / "a.png").write_bytes(whole[:start] + b"\xc9" + whole[start + 1 :])


DAMAGES = {
    "nothing": (lambda images: images.rename(images.with_name("x")), "images: no such folder; relative paths start at"),
    "a file": (lambda images: (images.rename(images.with_name("x")), images.touch()), "images: not a folder; "),
    "no classes": (
        lambda images: [(remove(path), path.rmdir()) for path in list(images.iterdir())],
        "images: holds no folder; give at least two folders of images, one a class",
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
        "a.png: has pixels of mode I;16; give images of 8 bits a channel",
    ),
    "a class of one": (
        lambda images: [path.unlink() for path in sorted((images / "cat").iterdir())[1:]],
        r"cat: 1 image\(s\) leave none to train on",
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
    damage(images)  # type: ignore[operator]  # what is done to the folder
    with pytest.raises(FaultbenchError, match=message) as raised:
        Folder(str(images)).load()
    assert str(raised.value).startswith(str(images.parent))
    assert "\n" not in str(raised.value)


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
    assert splits(subject.dataset).test.stored.shape == (4, 1, 8, 8)
    assert parts(subject).n_images == 4


def test_a_path_that_leads_nowhere_is_an_error_with_its_place_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(CampaignError) as raised:
        parse_campaign(campaign(tmp_path, "images"), tmp_path / "own.yaml")
    assert str(raised.value) == (
        f"{tmp_path}/own.yaml:2:19: datasets[0]: no such file or folder; given 'images'; "
        "relative paths start at the campaign file's folder"
    )


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
    assert parts(parse_campaign(campaign(tmp_path, str(long)), tmp_path / "own.yaml").subjects[0]).n_images == 4


def test_worker_processes_read_the_folder_by_the_data_directory_given(images: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(campaign(tmp_path, "images"), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "FAULTBENCH_DATA"}
    environment |= {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "faultbench", "run", "own.yaml", "--workers=2", "--data-dir=given"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "given" / "decoded").glob("folder-*.safetensors"))) == 2
    assert not list((tmp_path / "home").rglob("*.safetensors"))
