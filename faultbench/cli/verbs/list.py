"""`faultbench list`: list the plug-ins of a kind."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

from faultbench.campaign.choices import known_plugins
from faultbench.cli.options import module_option
from faultbench.cli.verb import Section, verb
from faultbench.plugins.registry import Modules, PluginDeclaration
from faultbench.system.printable import shortened
from faultbench.system.text_tables import terminal_width

LONGEST_FIELD = 500
"""Characters of a column: anybody can write the names, options and summaries of plug-ins."""

KINDS = {
    "datasets": "dataset",
    "models": "model",
    "schemes": "scheme",
    "formats": "number_format",
    "faults": "fault_model",
    "engines": "engine",
    "guards": "guard",
}
"""Word on the command line → kind of plug-in."""

_INDENT = "    "


@verb("list", Section.INSPECT)
@click.argument("kind", type=click.Choice(list(KINDS)))
@module_option
def command(kind: str, modules: Modules) -> None:
    """List what a campaign file can name.

    Options are shown with their defaults. A terminal gets a paragraph per plug-in, a file or a pipe one line.
    """
    rows = [(entry.name, _options(entry), entry.summary) for entry in known_plugins(KINDS[kind], modules).values()]
    fields = [tuple(shortened(field, LONGEST_FIELD) for field in row) for row in rows]
    width = terminal_width()
    for line in _aligned(fields) if width is None else _paragraphs(fields, width):
        click.echo(line)


def _options(entry: PluginDeclaration) -> str:
    return " ".join(f"{name}={_written(option.default)}" for name, option in entry.options.items())


def _written(default: Any) -> str:
    """Return a default as a campaign file spells it."""
    return default if isinstance(default, str) else json.dumps(default)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with columns of equal width; a column that is empty in all rows takes no room."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip() for row in rows
    ]


def _paragraphs(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """Yield the name of each row in a line, then its summary and its options, indented and wrapped to the width."""
    for name, options, summary in rows:
        yield name
        for field in filter(None, (summary, options)):
            yield from textwrap.wrap(
                field, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
            )
