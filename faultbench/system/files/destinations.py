"""Destinations of output: files, which are replaced as a whole, and devices and pipes, which are written to directly.

A file is written under another name and then renamed, so that readers see the old one or the new one. A device must
not be replaced, because it would become a plain file. Nor must a link, because others may rely on its target.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from faultbench.system.errors import FaultbenchError

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")


def is_stream(path: Path) -> bool:
    """Return whether output is written directly to the path. FaultbenchError if nothing may be written there.

    Return True for a character device, a pipe and /dev/stdout, and False for a regular file and a new name. Folders,
    links to files, disks and sockets are refused.
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            mode = _link_target_mode(path)
    except OSError:  # a new name, or a path whose error is reported when the file is written
        return False
    except ValueError as error:  # a zero byte in the path
        raise FaultbenchError(f"{path}: cannot be written: {error}") from error
    if stat.S_ISREG(mode):
        return False
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return True
    kind = {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a disk", stat.S_IFSOCK: "a socket"}.get(
        stat.S_IFMT(mode), "no file"
    )
    raise FaultbenchError(f"{path}: is {kind}; give the name of a file to write")


def _link_target_mode(path: Path) -> int:
    """Return the mode of the device or pipe that a link leads to. FaultbenchError if it leads to anything else."""
    try:
        mode = path.stat().st_mode
    except OSError:
        mode = 0
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return mode
    raise FaultbenchError(
        f"{path}: is a link to {path.readlink()}, and links are not replaced; name that file, or another"
    )


def write_through(file: Path, stream: Path) -> None:
    """Copy a file into a device or pipe. OSError if nobody reads the pipe, or if the device accepts no more data."""
    number = _descriptor(stream)
    if number is None:
        # Without O_NONBLOCK, a pipe that nobody reads would make the open wait for ever.
        descriptor = os.open(stream, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        os.set_blocking(descriptor, True)
    else:
        descriptor = os.dup(number)
    with file.open("rb") as source, os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target)


def refuse_linked(folder: Path) -> None:
    """Raise FaultbenchError if an output folder is a link, because in other people's results it may lead anywhere."""
    if folder.is_symlink():
        raise FaultbenchError(f"{folder}: is a link, and may lead to any folder; remove it")


def refuse_inputs(path: Path, option: str, inputs: Iterable[Path]) -> None:
    """Raise FaultbenchError if the output that an option names is one of the inputs, or lies inside one of them."""
    for source in inputs:
        if _is_same(path, source) or (source.is_dir() and _is_inside(path, source)):
            raise FaultbenchError(f"{option} {path}: is {source}, which this run reads; name another file")


def _is_same(path: Path, source: Path) -> bool:
    try:
        # x/../campaign.yaml is the campaign file as soon as the folder x is made. samefile alone would miss that.
        return path.resolve() == source.resolve() or path.samefile(source)
    except (OSError, ValueError, RuntimeError):
        return False


def _is_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
        return False


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that the path names, such as 1 for /dev/stdout; None for other paths."""
    text = os.path.normpath(path)
    match = _DESCRIPTOR.fullmatch(text)
    number = _STANDARD.get(text, int(match[1]) if match else None)
    if number is None:
        return None
    try:
        mode = os.fstat(number).st_mode
    except OSError as error:
        reason = "is not open" if error.errno == errno.EBADF else error.strerror
        raise FaultbenchError(f"{path}: {reason}; give the name of a file to write") from error
    if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        raise FaultbenchError(f"{path}: is not a file; give the name of a file to write")
    return number
