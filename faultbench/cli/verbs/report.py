"""`faultbench report`: write one self-contained HTML page of a results folder."""

from pathlib import Path

import click

from faultbench.cli.quoted_text import echo_quoted
from faultbench.cli.reading import read
from faultbench.cli.verb import Section, verb
from faultbench.results.folder import find_results


@verb("report", Section.LOOK)
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Write report.html, one page that holds everything.

    RESULTS is results/<campaign>, or a folder of several such folders. The page goes into the results folder. It has
    tables, figures, comparisons and the commands that make them again. It loads nothing from elsewhere, so it can be
    filed, mailed and printed. For an unfinished campaign it says what is missing.
    """
    for folder in find_results(path):
        results = read(folder, "faultbench.output.report", "scipy.special")

        from faultbench.output.report import write_report

        echo_quoted(write_report(results))
        for remark in results.remarks:
            echo_quoted(remark, err=True)
