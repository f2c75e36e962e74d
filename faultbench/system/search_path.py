"""Python's search path without the current folder, in this process and in every one that it starts.

Commands run in folders that hold results, campaigns and downloads of other people. `python -m` and `python -c`, which
start workers, look for modules there first. So does Python for an empty entry of PYTHONPATH.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_PACKAGES = str(Path(__file__).absolute().parents[2])
"""Folder that holds the package."""


def safe_environment() -> dict[str, str]:
    """Return the variables that keep the current folder off the search path of a Python process.

    Folders that PYTHONPATH names stay, a dot included. So does a checkout in which the package itself was found.
    """
    found_here = [_PACKAGES] if _is_checkout() else []
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([*filter(None, _entries()), *found_here])}


@contextmanager
def safe_path() -> Iterator[None]:
    """Give every process that starts inside the block a search path without the current folder."""
    variables = safe_environment()
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        _restore(before)


def leave_current_folder_out() -> None:
    """Remove the current folder from this process's search path, unless PYTHONPATH names it or it is a checkout.

    Only faultbench's own command calls this. Other programs may need the modules beside them.
    """
    here = _here()
    if not here or _is_checkout():
        return
    if _is_module_run() and sys.path[0] in ("", here):
        del sys.path[0]
    if "" in _entries() and here not in (str(Path(entry).absolute()) for entry in filter(None, _entries())):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]


def _is_checkout() -> bool:
    """Return whether the package lies in the current folder, so that code from there runs anyway."""
    return _here() == _PACKAGES


def _here() -> str:
    """Return the current folder; "" if it was removed, because nothing can be imported from it."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def _entries() -> list[str]:
    """Return the entries of PYTHONPATH, which count only if there is any text in it."""
    return os.environ["PYTHONPATH"].split(os.pathsep) if os.environ.get("PYTHONPATH") else []


def _is_module_run() -> bool:
    """Return whether `python -m` started this program, and so put the current folder first on the search path."""
    return Path(sys.argv[0]).name == "__main__.py" and not sys.flags.safe_path


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
