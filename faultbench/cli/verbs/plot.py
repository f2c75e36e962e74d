"""`faultbench plot`: the plots of a results folder."""

from pathlib import Path
from typing import Literal

import click

from faultbench.cli.reading import read
from faultbench.results.folder import find_results

_NEEDED_LATER = ("matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg", "scipy.special")
"""What drawing would load, each process for itself."""


@click.command("plot")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.option("--only", metavar="PLOT", multiple=True, help="Draw this plot and no other; may be repeated.")
@click.option(
    "--style",
    type=click.Choice(["screen", "paper"]),
    default="screen",
    show_default=True,
    help="paper draws a figure a network and data set, as wide as a column, in plots/paper/; PDF and SVG only.",
)
def command(path: Path, only: tuple[str, ...], style: Literal["screen", "paper"]) -> None:
    """PDF, SVG and PNG in plots/ of the results folder. RESULTS is results/<campaign>, or a folder of such."""
    for folder in find_results(path):
        results = read(folder, "faultbench.output.plots", *_NEEDED_LATER)

        from faultbench.output.plots import write_plots

        for written in write_plots(results, folder / "plots", only, style):
            click.echo(written)
        for remark in results.remarks:
            click.echo(remark, err=True)
