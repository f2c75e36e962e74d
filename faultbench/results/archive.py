"""Archive an existing results folder under another name, so that its own name is free."""

from pathlib import Path

from faultbench.system.files.disk import disk_errors
from faultbench.system.files.locks import alone


def archive(folder: Path) -> None:
    """Rename an existing results folder to the first free name of <name>~1, <name>~2, … beside it.

    FaultbenchError while a run, a shard or a merge writes there, since it would go on in the moved folder.
    """
    if folder.exists():
        with alone(folder):
            number = 1
            while (target := folder.with_name(f"{folder.name}~{number}")).exists():
                number += 1
            with disk_errors(folder):
                folder.rename(target)
