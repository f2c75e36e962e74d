"""`faultbench status`: how many trials of each cell are done and how many are missing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from faultbench.results_folder import LABELS, ResultsFolder, ber_text, find_results, read_folder, varying


@click.command("status")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Trials done and missing, cell by cell. RESULTS is results/<campaign>, or a folder of such.

    A table on a terminal; elsewhere one line a cell, its fields separated by tabs.
    """
    for place in find_results(path):
        folder = read_folder(place)
        show = _show_table if sys.stdout.isatty() else _show_lines
        show(folder)
        done, missing = (sum(counts) for counts in zip(*_counts(folder), strict=True))
        click.echo(f"{folder.path}: {done:,} trials done, {missing:,} missing{_condition(folder)}", err=True)
        for remark in folder.remarks:
            click.echo(remark, err=True)


def _counts(folder: ResultsFolder) -> Iterator[tuple[int, int]]:
    """Trials done and missing of each cell of the manifest."""
    for entry in folder.manifest.cells:
        yield len(folder.trials[entry.cell]), folder.n_missing(entry.cell)


def _condition(folder: ResultsFolder) -> str:
    until = folder.manifest.rule.until
    return f" before the next look at cells wider than ±{until.accuracy_halfwidth:g}" if until else ""


def _show_lines(folder: ResultsFolder) -> None:
    click.echo("\t".join(("campaign", *LABELS, "ber", "done", "missing")))
    for entry, counts in zip(folder.manifest.cells, _counts(folder), strict=True):
        click.echo("\t".join((folder.manifest.campaign, *entry.labels, ber_text(entry.ber), *map(str, counts))))


def _show_table(folder: ResultsFolder) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = varying(folder.manifest.cells) or ["scheme"]
    table = Table(*shown, "BER", "done", "missing", title=Text(folder.manifest.campaign), title_justify="left")
    for column in table.columns[len(shown) :]:
        column.justify = "right"
    for entry, (done, missing) in zip(folder.manifest.cells, _counts(folder), strict=True):
        labels = [Text(getattr(entry, label)) for label in shown]
        table.add_row(*labels, ber_text(entry.ber), f"{done:,}", f"{missing:,}" if missing else "")
    Console().print(table)
