"""Programs that pip cannot install: tests that need one skip and say so, unless FAULTBENCH_PROGRAMS asks for all."""

import os
import shutil

import pytest


def program(*names: str) -> str:
    """The path of the first of these programs that is installed."""
    found = [path for path in map(shutil.which, names) if path]
    if found:
        return found[0]
    missing = f"needs {names[0]}; `make programs` installs it"
    if os.environ.get("FAULTBENCH_PROGRAMS"):
        pytest.fail(missing)
    pytest.skip(missing)
