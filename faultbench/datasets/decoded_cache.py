"""Images decoded once into a checksummed file that every process maps into its memory, so that all share it.

The file holds the SHA-256 of what it holds. It is checked in full whenever a process opens the file, by reading it
through a small buffer (CIFAR's 184 MB take about 0.15 s): a damaged file is never used, and is made again. What
changes a file under a process that has it open already is not noticed; faultbench itself only ever puts a whole new
file in its place. Pages are mapped privately, so that a write to a tensor stays in the process that did it.
"""

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from faultbench.datasets.images import Images
from faultbench.system.errors import EngineError
from faultbench.system.files.disk import replaced


def data_folder() -> Path:
    """Where data sets are looked for and downloaded to: FAULTBENCH_DATA, or ~/.cache/faultbench."""
    return Path(os.environ.get("FAULTBENCH_DATA") or "~/.cache/faultbench").expanduser().absolute()


def decoded(name: str, made_from: str, decode: Callable[[], Images]) -> Images:
    """The images in the file of this name; where there is no sound one made from `made_from`, decode() makes it.

    The file lies in the data folder or, where that cannot be written, in the user's cache. Where neither can be,
    the images are given as decoded, and every process has its own.
    """
    places = _places(name)
    for path in places:
        if (found := _opened(path, made_from)) is not None:
            return found
    images = decode()
    for path in places:
        if _saved(path, images, made_from) and (kept := _opened(path, made_from)) is not None:
            return kept
    return images


def _places(name: str) -> tuple[Path, Path]:
    folder = data_folder()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "faultbench"
    # The same name in two data folders may stand for different images.
    told_apart = f"{name}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    return folder / "decoded" / f"{name}.safetensors", cache / "decoded" / f"{told_apart}.safetensors"


def _opened(path: Path, made_from: str) -> Images | None:
    """The images of a file, mapped; None if there is none, it is damaged, or it was made from something else."""
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            images = Images(file.get_tensor("pixels"), file.get_tensor("labels"))
        is_sound = notes == {**_notes(images, made_from), "sha256": _data_digest(path)}
    except (OSError, SafetensorError, ValueError):  # ValueError: as many labels as images there are not
        return None
    return images if is_sound else None


def _saved(path: Path, images: Images, made_from: str) -> bool:
    """Whether a file of the images could be written, whole."""
    tensors = {"labels": images.labels.contiguous(), "pixels": images.stored.contiguous()}
    sha = hashlib.sha256()
    for tensor in tensors.values():  # in the order of the file, the wider type first
        sha.update(tensor.numpy().data)
    try:
        with replaced(path) as temporary:
            save_file(tensors, temporary, {**_notes(images, made_from), "sha256": sha.hexdigest()})
            # safetensors lets only the owner read; who may look into the folder may share the images.
            temporary.chmod(path.parent.stat().st_mode & 0o644)
    except (EngineError, SafetensorError):  # a full or a read-only disk
        return False
    return True


def _notes(images: Images, made_from: str) -> dict[str, str]:
    return {"made_from": made_from, "holds": f"{images.stored.dtype} {tuple(images.stored.shape)}"}


def _data_digest(path: Path) -> str:
    """SHA-256 in hex of all that follows a safetensors file's header."""
    with path.open("rb") as file:
        (n_header,) = struct.unpack("<Q", file.read(8))
        file.seek(8 + n_header)
        return hashlib.file_digest(file, "sha256").hexdigest()
