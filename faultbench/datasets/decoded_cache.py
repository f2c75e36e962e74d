"""Cache of decoded images: a checksummed file that every process maps into its memory, so that all share it.

The file holds the SHA-256 of its content. A process checks it in full when it opens the file, reading through a small
buffer (CIFAR's 184 MB take about 0.15 s). A damaged file is never used; it is made again. A change of a file that a
process already has open is not noticed; faultbench itself only replaces a file as a whole. Pages are mapped privately,
so that a write to a tensor stays in the process that made it.
"""

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from faultbench.datasets.images import Images
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced
from faultbench.system.files.temporary_files import remove_leftovers


def data_folder() -> Path:
    """Return the folder that data sets are read from and downloaded to: FAULTBENCH_DATA, or ~/.cache/faultbench."""
    named = os.environ.get("FAULTBENCH_DATA")
    try:
        return Path(named or "~/.cache/faultbench").expanduser().absolute()
    except RuntimeError as error:  # pathlib raises it for a user without a home folder
        where = f"FAULTBENCH_DATA: {named}: {error}" if named else "this user has no home folder to keep data sets in"
        raise FaultbenchError(f"{where}; name a folder by --data-dir or FAULTBENCH_DATA") from error


@contextmanager
def use_data_folder(folder: Path | None) -> Iterator[None]:
    """Read data sets from this folder inside the block. None keeps the folder of this process."""
    before = os.environ.get("FAULTBENCH_DATA", "")
    if folder is not None:
        os.environ["FAULTBENCH_DATA"] = str(folder)
    try:
        yield
    finally:
        if folder is not None:
            os.environ["FAULTBENCH_DATA"] = before


def cached_images(name: str, made_from: str, decode: Callable[[], Images]) -> Images:
    """Return the images in the cache file of this name. If no intact one made from `made_from` exists, decode them.

    The file is in the data folder, or in the user's cache if the data folder cannot be written. If neither can be
    written, return the decoded images, of which every process then has its own copy.
    """
    places = _places(name)
    for path in places:
        remove_leftovers(path.parent)
        if (images := _open_cache(path, made_from)) is not None:
            return images
    images = decode()
    for path in places:
        if _save(path, images, made_from) and (mapped := _open_cache(path, made_from)) is not None:
            return mapped
    return images


def _places(name: str) -> list[Path]:
    """Return the possible paths of the file. A user without a home folder has no cache, and perhaps no data folder."""
    # The same name in two data folders may mean different images.
    places = []
    try:
        folder = data_folder()
        places.append(folder / "decoded" / f"{name}.safetensors")
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "faultbench"
        unique_name = f"{name}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
        places.append(cache / "decoded" / f"{unique_name}.safetensors")
    except (FaultbenchError, RuntimeError):
        pass
    return places


def _open_cache(path: Path, made_from: str) -> Images | None:
    """Return the mapped images of a file; None if it is missing, damaged, or made from something else."""
    if not path.is_file():  # opening a pipe would wait for ever
        return None
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            images = Images(file.get_tensor("pixels"), file.get_tensor("labels"))
        is_sound = notes == {**_notes(images, made_from), "sha256": _data_digest(path)}
    except (OSError, SafetensorError, ValueError):  # ValueError: the numbers of images and labels differ
        return None
    return images if is_sound else None


def _save(path: Path, images: Images, made_from: str) -> bool:
    """Write a file of the images, and return whether it was written completely."""
    tensors = {"labels": images.labels.contiguous(), "pixels": images.stored.contiguous()}
    sha = hashlib.sha256()
    for tensor in tensors.values():  # in the order of the file: the wider type first
        sha.update(tensor.numpy().data)
    try:
        with replaced(path) as temporary:
            save_file(tensors, temporary, {**_notes(images, made_from), "sha256": sha.hexdigest()})
            # safetensors lets only the owner read. Everyone who may read the folder may share the images.
            temporary.chmod(path.parent.stat().st_mode & 0o644)
    except (FaultbenchError, SafetensorError):  # a full or read-only disk, or a link in place of the file
        return False
    return True


def _notes(images: Images, made_from: str) -> dict[str, str]:
    return {"made_from": made_from, "holds": f"{images.stored.dtype} {tuple(images.stored.shape)}"}


def _data_digest(path: Path) -> str:
    """Return the SHA-256 in hex of everything after the header of a safetensors file."""
    with path.open("rb") as file:
        (n_header,) = struct.unpack("<Q", file.read(8))
        file.seek(8 + n_header)
        return hashlib.file_digest(file, "sha256").hexdigest()
