"""`faultbench export`: write or print the tables of a results folder."""

from pathlib import Path
from typing import Any

import click

from faultbench.cli.quoted_text import echo_quoted
from faultbench.cli.reading import read
from faultbench.cli.verb import Section, verb
from faultbench.results.folder import find_results
from faultbench.system.errors import FaultbenchError

PRINTED = ("latex", "markdown")
"""Formats that round numbers and go to stdout; the others write files with every digit."""


@verb("export", Section.LOOK)
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet", *PRINTED]),
    default="csv",
    show_default=True,
    help="Write files into tables/ of the results folder (csv, parquet), or print tables (latex, markdown).",
)
@click.option(
    "--digits",
    metavar="N",
    type=click.IntRange(0, 6),
    help="Print per cents with N decimals in latex and markdown. [default: 1]",
)
@click.option(
    "--ci",
    type=click.Choice(["brackets", "plusminus", "none"]),
    help="Print intervals in latex and markdown as [low, high], as steps from the mean, or not at all. "
    "[default: brackets]",
)
@click.option(
    "--best", is_flag=True, default=None, help="Print the highest mean of each column bold in latex and markdown."
)
def command(path: Path, kind: str, **rounding: Any) -> None:
    """Export tables for papers and other programs.

    RESULTS is results/<campaign>, or a folder of several such folders.
    """
    style = {name: value for name, value in rounding.items() if value is not None}
    if style and kind not in PRINTED:
        raise FaultbenchError(
            f"--{next(iter(style))} is for --format {' and '.join(PRINTED)}; {kind} holds every digit"
        )
    for folder in find_results(path):
        results = read(folder)
        for line in _exported(results, kind, style):
            echo_quoted(line)
        for remark in results.remarks:
            echo_quoted(remark, err=True)


def _exported(results: Any, kind: str, style: dict[str, Any]) -> list[str]:
    """Return the lines of a printed table, or the paths of the files written."""
    if kind in PRINTED:
        return _printed(results, kind, style).split("\n")

    from faultbench.output.export.table_files import write_parquet, write_tables

    write = write_parquet if kind == "parquet" else write_tables
    return [str(path) for path in write(results, results.folder / "tables")]


def _printed(results: Any, kind: str, style: dict[str, Any]) -> str:
    from faultbench.output.export.accuracy_table import Style
    from faultbench.output.export.latex import latex
    from faultbench.output.export.markdown import markdown

    return latex(results, Style(**style)) if kind == "latex" else markdown(results, Style(**style))
