"""`faultbench status`: count the trials of each cell that are done, missing and quarantined."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from faultbench.cli.quoted_text import echo_quoted
from faultbench.cli.verb import Section, verb
from faultbench.results.folder import LABELS, ResultsFolder, ber_text, find_results, read_folder, varying_labels
from faultbench.system.printable import printable


@verb("status", Section.LOOK)
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Count the trials that are done, missing and quarantined.

    There is a row per cell. RESULTS is results/<campaign>, or a folder of several such folders. A terminal gets a
    table, a file or a pipe one line per cell with fields separated by tabs.
    """
    for place in find_results(path):
        folder = read_folder(place)
        show = _show_table if sys.stdout.isatty() else _show_lines
        show(folder)
        done, missing, quarantined = (sum(counts) for counts in zip(*_counts(folder), strict=True))
        more = (f", {quarantined:,} quarantined" if quarantined else "") + _condition(folder) + _strata(folder)
        echo_quoted(f"{folder.path}: {done:,} trials done, {missing:,} missing{more}", err=True)
        for name in folder.quarantined_names:
            echo_quoted(f"quarantined: {name}", err=True)
        for remark in folder.remarks:
            echo_quoted(remark, err=True)


def _counts(folder: ResultsFolder) -> Iterator[tuple[int, int, int]]:
    """Yield the trials done, missing and quarantined of each cell; a quarantined trial is not missing."""
    for entry in folder.manifest.cells:
        yield len(folder.trials[entry.cell]), folder.n_missing(entry.cell), len(folder.quarantined[entry.cell])


def _condition(folder: ResultsFolder) -> str:
    until = folder.manifest.rule.until
    return f" before the next look at cells wider than ±{until.accuracy_halfwidth:g}" if until else ""


def _strata(folder: ResultsFolder) -> str:
    """Say how many cells have strata, for a campaign with stratified sampling."""
    known = [entry for entry in folder.manifest.cells if entry.cell in folder.journal.strata]
    n_split = sum(folder.strata(entry) is not None for entry in known)
    return f"; {n_split} of {len(known)} cells in strata, in the others they do not pay" if known else ""


def _show_lines(folder: ResultsFolder) -> None:
    click.echo("\t".join(("campaign", *LABELS, "ber", "done", "missing", "quarantined")))
    for entry, counts in zip(folder.manifest.cells, _counts(folder), strict=True):
        fields = (folder.manifest.campaign, *entry.labels, ber_text(entry.ber), *map(str, counts))
        click.echo("\t".join(map(printable, fields)))


def _show_table(folder: ResultsFolder) -> None:
    from faultbench.system.text_tables import Column, TextTable

    shown = varying_labels(folder.manifest.cells) or ["scheme"]
    columns = [Column(label, is_text=True) for label in shown]
    columns += [Column("BER"), Column("done"), Column("missing"), Column("quarantined", rank=1)]
    rows = [
        (
            *(str(getattr(entry, label)) for label in shown), ber_text(entry.ber), f"{done:,}",
            *(f"{count:,}" if count else "" for count in others),
        )
        for entry, (done, *others) in zip(folder.manifest.cells, _counts(folder), strict=True)
    ]  # fmt: skip
    TextTable(columns, rows, title=folder.manifest.campaign).show()
