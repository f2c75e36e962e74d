"""`faultbench status`: how many trials of each cell are done, missing and quarantined."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from faultbench.results.folder import LABELS, ResultsFolder, ber_text, find_results, read_folder, varying


@click.command("status")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Trials done, missing and quarantined, cell by cell. RESULTS is results/<campaign>, or a folder of such.

    A table on a terminal; elsewhere one line a cell, its fields separated by tabs.
    """
    for place in find_results(path):
        folder = read_folder(place)
        show = _show_table if sys.stdout.isatty() else _show_lines
        show(folder)
        done, missing, quarantined = (sum(counts) for counts in zip(*_counts(folder), strict=True))
        more = (f", {quarantined:,} quarantined" if quarantined else "") + _condition(folder) + _strata(folder)
        click.echo(f"{folder.path}: {done:,} trials done, {missing:,} missing{more}", err=True)
        for name in folder.quarantined_names:
            click.echo(f"quarantined: {name}", err=True)
        for remark in folder.remarks:
            click.echo(remark, err=True)


def _counts(folder: ResultsFolder) -> Iterator[tuple[int, int, int]]:
    """Trials done, missing and quarantined of each cell of the manifest; a quarantined one is not missing."""
    for entry in folder.manifest.cells:
        yield len(folder.trials[entry.cell]), folder.n_missing(entry.cell), len(folder.quarantined[entry.cell])


def _condition(folder: ResultsFolder) -> str:
    until = folder.manifest.rule.until
    return f" before the next look at cells wider than ±{until.accuracy_halfwidth:g}" if until else ""


def _strata(folder: ResultsFolder) -> str:
    """Of a campaign whose trials are drawn in strata, how many cells have any."""
    known = [entry for entry in folder.manifest.cells if entry.cell in folder.journal.strata]
    n_split = sum(folder.strata(entry) is not None for entry in known)
    return f"; {n_split} of {len(known)} cells in strata, in the others they do not pay" if known else ""


def _show_lines(folder: ResultsFolder) -> None:
    click.echo("\t".join(("campaign", *LABELS, "ber", "done", "missing", "quarantined")))
    for entry, counts in zip(folder.manifest.cells, _counts(folder), strict=True):
        click.echo("\t".join((folder.manifest.campaign, *entry.labels, ber_text(entry.ber), *map(str, counts))))


def _show_table(folder: ResultsFolder) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = varying(folder.manifest.cells) or ["scheme"]
    table = Table(
        *shown, "BER", "done", "missing", "quarantined", title=Text(folder.manifest.campaign), title_justify="left"
    )
    for column in table.columns[len(shown) :]:
        column.justify = "right"
    for entry, (done, *others) in zip(folder.manifest.cells, _counts(folder), strict=True):
        labels = [Text(getattr(entry, label)) for label in shown]
        table.add_row(*labels, ber_text(entry.ber), f"{done:,}", *(f"{n:,}" if n else "" for n in others))
    Console().print(table)
