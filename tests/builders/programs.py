"""Finder of programs that pip cannot install. A test without one skips, or fails if FAULTBENCH_PROGRAMS is set."""

import os
import shutil

import pytest


def program(*names: str) -> str:
    """Return the path of the first of these programs that is installed."""
    found = [path for path in map(shutil.which, names) if path]
    if found:
        return found[0]
    missing = f"needs {names[0]}; `make programs` installs it"
    if os.environ.get("FAULTBENCH_PROGRAMS"):
        pytest.fail(missing)
    pytest.skip(missing)
