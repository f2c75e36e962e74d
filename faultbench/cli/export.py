"""`faultbench export`: the tables of a results folder."""

from pathlib import Path

import click

from faultbench.cli.options import collect_garbage_seldom
from faultbench.results_folder import find_results


@click.command("export")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "markdown"]),
    default="csv",
    show_default=True,
    help="csv writes tables/ of the results folder and prints the paths, markdown prints the table.",
)
def command(path: Path, kind: str) -> None:
    """Tables for papers. RESULTS is results/<campaign>, or a folder of such."""
    folders = find_results(path)
    collect_garbage_seldom()

    from faultbench.markdown import markdown
    from faultbench.tables import read_results, write_tables

    for folder in folders:
        results = read_results(folder)
        if kind == "markdown":
            click.echo(markdown(results))
        else:
            click.echo("\n".join(map(str, write_tables(results, folder / "tables"))))
        for remark in results.remarks:
            click.echo(remark, err=True)
