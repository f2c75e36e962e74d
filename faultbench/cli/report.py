"""`faultbench report`: one self-contained HTML page of a results folder."""

from pathlib import Path

import click

from faultbench.cli.options import collect_garbage_seldom
from faultbench.results_folder import find_results


@click.command("report")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Write report.html into the results folder. RESULTS is results/<campaign>, or a folder of such.

    The page holds tables, figures, comparisons and the commands to get them again; it loads nothing from anywhere,
    so it can be filed, mailed and printed. A half-finished folder makes one that says what is missing.
    """
    folders = find_results(path)
    collect_garbage_seldom()

    from faultbench.report import write_report
    from faultbench.tables import read_results

    for folder in folders:
        results = read_results(folder)
        click.echo(write_report(results))
        for remark in results.remarks:
            click.echo(remark, err=True)
