"""`faultbench list`: the plug-ins of a kind, a line each."""

import json
from collections.abc import Sequence
from typing import Any

import click

from faultbench.campaign.choices import Modules, known
from faultbench.cli.options import module_option
from faultbench.plugins.registry import FOLDERS, Entry

_KINDS = {**{folder.rpartition("/")[2]: kind for kind, folder in FOLDERS.items()}, "guards": "guard"}


@click.command("list")
@click.argument("kind", type=click.Choice(list(_KINDS)))
@module_option
def command(kind: str, modules: Modules) -> None:
    """List what a campaign file can name: name, options with their defaults, and what it is."""
    rows = [(entry.name, _options(entry), entry.summary) for entry in known(_KINDS[kind], modules).values()]
    for line in _aligned(rows):
        click.echo(line)


def _options(entry: Entry) -> str:
    return " ".join(f"{name}={_written(option.default)}" for name, option in entry.options.items())


def _written(default: Any) -> str:
    """A default as a campaign file would have it."""
    return default if isinstance(default, str) else json.dumps(default)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines with columns of equal width; a column that is empty in all of them takes no room."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip() for row in rows
    ]
