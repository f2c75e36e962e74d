"""What the `<path>` in a plug-in's name leads to, and what tells it from a changed one."""

import hashlib
from pathlib import Path

from faultbench.campaign.document.problems import Where, quoted
from faultbench.campaign.document.yaml_source import Document
from faultbench.plugins.registry import Entry


def folder_of(document: Document) -> Path:
    """Where relative paths of a campaign start: the folder of its file, absolute."""
    return Path(document.source).parent.absolute()


def content_digest(plug_in: Entry, name: str, where: Where, document: Document) -> str | None:
    """SHA-256 in hex of what the path leads to; None, with the reason reported, where there is nothing.

    Of a file its bytes; of a folder the names and sizes of the files below it, hidden ones left out: whatever machine
    the campaign is moved to, with its folder, it means the same.
    """
    given = (plug_in.match(name) or {})["path"]
    path = folder_of(document) / given
    try:
        if path.is_dir():
            return hashlib.sha256("".join(_lines(path)).encode(errors="surrogateescape")).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
    message = f"{reason}; given {quoted(given)}; relative paths start at the campaign file's folder"
    document.report(where, message, document.place((*where, "name")))
    return None


def _lines(folder: Path) -> list[str]:
    below = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        f"{inner.as_posix()}\0{path.stat().st_size}\n"
        for inner, path in below
        if not any(part.startswith(".") for part in inner.parts)
    ]
