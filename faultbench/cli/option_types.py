"""Types of options: a file to write, a finite number, a duration, a shard, text of a batch script."""

import math
import os
import re
from pathlib import Path
from typing import Any

import click

from faultbench.runner.tasks.shards import MOST_SHARDS
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.destinations import is_stream

LONGEST_S = 400 * 86400
"""A timer of the operating system takes no more than some years."""


class OutputFile(click.Path):
    """File to write; a path that cannot be one is refused before any work is done."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; raise FaultbenchError for a folder, a link, a disk, or a path below a file."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not is_stream(path):
            try:
                path.lstat()
            except FileNotFoundError:  # missing parent folders are made later
                pass
            except OSError as error:
                raise FaultbenchError(f"{path}: {error.strerror}; give the name of a file to write") from error
        return path


class FiniteRange(click.FloatRange):
    """Number in a range; NaN is refused, although no comparison finds it outside the range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; anything else is a usage error."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """Time such as 55m, 4h, 90s or 1h30m, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds above 0; anything else is a usage error."""
        parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(value))
        hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
        total_s = 3600 * hours + 60 * minutes + seconds
        if not 0 < total_s <= LONGEST_S:
            self.fail(
                f"{value!r} is no time; write 55m, 4h, 90s or 1h30m, at most {LONGEST_S // 86400} days", param, ctx
            )
        return float(total_s)


class ShardNumber(click.ParamType[tuple[int, int]]):
    """Shard I/N, as the two numbers."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return I and N with 1 ≤ I ≤ N ≤ `MOST_SHARDS`; anything else is a usage error."""
        parts = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value), re.ASCII)
        number, count = (int(part) for part in parts.groups()) if parts else (0, 0)
        if not 1 <= number <= count <= MOST_SHARDS:
            self.fail(
                f"{value!r} is no shard; write 1/4 to 4/4 for the four parts of the work, of {MOST_SHARDS:,} at most",
                param, ctx,
            )  # fmt: skip
        return number, count


class BatchWord(click.ParamType[str]):
    """Value of an #SBATCH line: letters, digits and marks that mean nothing else to the shell or to sbatch."""

    name = "word"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value; anything else is a usage error."""
        if not re.fullmatch(r"[\w.,:+@/%=-]{1,200}", str(value), re.ASCII):
            self.fail(
                f"{value!r} is no value of sbatch; write letters, digits and any of . , : + @ / % = _ -", param, ctx
            )
        return str(value)


class PrintableLine(click.ParamType[str]):
    """Line of printable text."""

    name = "line"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the line; line breaks are a usage error, since the text after one would be another line."""
        if not str(value).strip() or not str(value).isprintable():
            self.fail(f"{value!r} is not one printable line; give the option once for each line", param, ctx)
        return str(value)
