"""`faultbench export`: the tables of a results folder."""

from pathlib import Path
from typing import Any

import click

from faultbench.cli.reading import read
from faultbench.results.folder import find_results
from faultbench.system.errors import FaultbenchError

PRINTED = ("latex", "markdown")
"""Formats that round numbers and go to stdout; the others write files with every digit."""


@click.command("export")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet", *PRINTED]),
    default="csv",
    show_default=True,
    help="csv and parquet write tables/ of the results folder and print the paths, latex and markdown print tables.",
)
@click.option("--digits", type=click.IntRange(0, 6), help="Decimals of per cents in latex and markdown; 1 by default.")
@click.option(
    "--ci",
    type=click.Choice(["brackets", "plusminus", "none"]),
    help="Intervals in latex and markdown: [low, high], the default; steps from the mean; or none.",
)
@click.option(
    "--best", type=click.Choice(["none", "bold"]), help="Mark the highest mean of a column in latex and markdown."
)
def command(path: Path, kind: str, **rounding: Any) -> None:
    """Tables for papers. RESULTS is results/<campaign>, or a folder of such."""
    given = {name: value for name, value in rounding.items() if value is not None}
    if given and kind not in PRINTED:
        raise FaultbenchError(
            f"--{next(iter(given))} is for --format {' and '.join(PRINTED)}; {kind} holds every digit"
        )
    for folder in find_results(path):
        results = read(folder)
        click.echo(_exported(results, kind, given))
        for remark in results.remarks:
            click.echo(remark, err=True)


def _exported(results: Any, kind: str, given: dict[str, Any]) -> str:
    if kind in PRINTED:
        return _printed(results, kind, given)

    from faultbench.results.analysis.results import write_parquet, write_tables

    write = write_parquet if kind == "parquet" else write_tables
    return "\n".join(map(str, write(results, results.folder / "tables")))


def _printed(results: Any, kind: str, given: dict[str, Any]) -> str:
    from faultbench.output.export.accuracy_table import Style
    from faultbench.output.export.latex import latex
    from faultbench.output.export.markdown import markdown

    style = Style(**{**given, "best": given.get("best") == "bold"})
    return latex(results, style) if kind == "latex" else markdown(results, style)
