"""Files and folders that a campaign names: whether they may be read, and a digest of their content."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from faultbench.campaign.document.problems import KeyPath, quote
from faultbench.campaign.document.yaml_source import Document
from faultbench.plugins.registry import PluginDeclaration


def content_digest(plugin: PluginDeclaration, name: str, key_path: KeyPath, document: Document) -> str | None:
    """Return the SHA-256 in hex of what the `<path>` in a plug-in's name leads to.

    Digest the bytes of a file, and the names and sizes of all files below a folder, with links followed and hidden
    files left out. So the digest stays the same if the campaign and its folder are moved. Return None, with the reason
    reported to the document, if the path cannot be read or leads out of the campaign's folder without permission.
    """
    given = (plugin.match(name) or {})["path"]
    path = document.folder / given
    try:
        outside = None if document.allow_outside else _first_outside(path, document.folder)
        problem = None if outside is None else outside_problem(given, path, outside)
        digest = _digest(path) if problem is None else None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        problem, digest = unreadable_problem(given, reason), None
    if problem is not None:
        document.report(key_path, problem, document.position((*key_path, "name")))
    return digest


def outside_problem(given: str, path: Path, outside: Path) -> str:
    """Return the message for a path that leads out of the campaign's folder, itself or by a link below it."""
    link = "" if outside == path else f", by the link {quote(str(outside.relative_to(path)))}"
    return f"outside of the campaign's folder{link}; given {quote(given)}; add --allow-outside to read it"


def unreadable_problem(given: str, reason: str) -> str:
    """Return the message for a path that cannot be read for this reason."""
    return f"{reason}; given {quote(given)}; relative paths start at the campaign file's folder"


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path, with all links followed, leads into a folder."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a zero byte in the path; links in a circle
        return False


def _digest(path: Path) -> str:
    if path.is_dir():
        return hashlib.sha256("".join(_file_lines(path)).encode(errors="surrogateescape")).hexdigest()
    if path.exists() and not path.is_file():  # opening a pipe would wait, and a device may have no end
        raise OSError("neither a regular file nor a folder")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_outside(path: Path, folder: Path) -> Path | None:
    """Return the path, or the first link below it, that leads out of a folder; None if everything is inside."""
    if not is_inside(path, folder):
        return path
    return next((below for below in _walk(path) if below.is_symlink() and not is_inside(below, folder)), None)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder. Links to folders are followed; each folder is visited once."""
    visited: set[Path] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        visited.add(Path(root).resolve())
        yield from (Path(root) / name for name in sorted(folders + files))
        folders[:] = [name for name in folders if (Path(root) / name).resolve() not in visited]


def _file_lines(folder: Path) -> list[str]:
    files = ((path.relative_to(folder), path) for path in sorted(_walk(folder)) if path.is_file())
    return [
        f"{inner.as_posix()}\0{path.stat().st_size}\n"
        for inner, path in files
        if not any(part.startswith(".") for part in inner.parts)
    ]
