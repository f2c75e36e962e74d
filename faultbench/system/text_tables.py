"""Tables of plain text: complete in files and pipes, fitted to the width of a terminal."""

import io
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faultbench.system.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 100_000
"""Width of a line where the width of tables is not limited."""

LEAST_TEXT = 18
"""Least width of a column of text. Columns of numbers are left out before it gets narrower; longer text is folded."""

_SEPARATOR = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class Column:
    """Column of a table. Numbers are aligned right on one line; text is aligned left and folded.

    A narrow terminal always shows columns of rank 0. It leaves out others, those of the highest rank first.
    """

    name: str
    is_text: bool = False
    rank: int = 0


@dataclass(frozen=True)
class TextTable:
    """Table of strings, with one field per column in every row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def text(self, width: int = UNLIMITED) -> str:
        """Return the lines of the table, none longer than width if its columns of rank 0 fit."""
        from rich.console import Console

        stream = io.StringIO()
        self._print(Console(file=stream, width=width, highlight=False), width)
        return stream.getvalue()

    def show(self) -> None:
        """Print the table to stdout, at most as wide as the terminal."""
        from rich.console import Console

        width = terminal_width() or UNLIMITED
        self._print(Console(width=width, highlight=False), width)

    def _print(self, console: "Console", width: int) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        shown = self._shown(width)
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, _SEPARATOR - 1, 0, 0),  # the box adds the other space
            pad_edge=False,
            title=Text(printable(self.title)) if self.title else None,
            title_justify="left",
        )
        for number in shown:
            column = self.columns[number]
            table.add_column(
                column.name,
                justify="left" if column.is_text else "right",
                no_wrap=not column.is_text,
                overflow="fold",  # names of two networks may differ only in the part that would be cut off
            )
        for row in self.rows:
            table.add_row(*(Text(printable(row[number])) for number in shown))
        console.print(table)
        hidden = [column.name for number, column in enumerate(self.columns) if number not in shown]
        if hidden:
            console.print(Text(f"Left out of this narrow table: {', '.join(hidden)}."), soft_wrap=False)

    def _shown(self, width: int) -> list[int]:
        """Return the numbers of the columns that fit into the width, at least those of rank 0."""
        shown = list(range(len(self.columns)))
        while self._least_width(shown) > width:
            number = max(reversed(shown), key=lambda number: self.columns[number].rank)
            if self.columns[number].rank == 0:
                break
            shown.remove(number)
        return shown

    def _least_width(self, shown: Sequence[int]) -> int:
        widths = [
            min(self._natural_width(number), LEAST_TEXT)
            if self.columns[number].is_text
            else self._natural_width(number)
            for number in shown
        ]
        return sum(widths) + _SEPARATOR * (len(widths) - 1)

    def _natural_width(self, number: int) -> int:
        from rich.cells import cell_len

        fields = (self.columns[number].name, *(printable(row[number]) for row in self.rows))
        return max(map(cell_len, fields))


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is connected to; None if it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
