"""`faultbench report`: one self-contained HTML page of a results folder."""

from pathlib import Path

import click

from faultbench.cli.reading import read
from faultbench.results.folder import find_results


@click.command("report")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Write report.html into the results folder. RESULTS is results/<campaign>, or a folder of such.

    The page holds tables, figures, comparisons and the commands to get them again; it loads nothing from anywhere,
    so it can be filed, mailed and printed. A half-finished folder makes one that says what is missing.
    """
    for folder in find_results(path):
        results = read(folder, "faultbench.output.report", "scipy.special")

        from faultbench.output.report import write_report

        click.echo(write_report(results))
        for remark in results.remarks:
            click.echo(remark, err=True)
