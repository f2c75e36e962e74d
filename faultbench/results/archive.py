"""Putting an existing results folder aside, so that its name is free."""

from pathlib import Path

from faultbench.system.files.disk import disk_errors
from faultbench.system.files.locks import locked


def put_aside(folder: Path) -> None:
    """Rename an existing results folder to the first free <name>~1, <name>~2, … beside it."""
    if folder.exists():
        with locked(folder):
            number = 1
            while (aside := folder.with_name(f"{folder.name}~{number}")).exists():
                number += 1
            with disk_errors(folder):
                folder.rename(aside)
