"""`faultbench plot`: draw the plots of a results folder."""

from pathlib import Path
from typing import Literal

import click

from faultbench.cli.quoted_text import echo_quoted
from faultbench.cli.reading import read
from faultbench.cli.verb import Section, verb
from faultbench.results.folder import find_results

_NEEDED_LATER = ("matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg", "scipy.special")
"""Modules that each drawing process would otherwise load itself."""


@verb("plot", Section.LOOK)
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.option(
    "--only",
    metavar="PLOT",
    multiple=True,
    help="Draw this plot, such as accuracy or sdc, and no other. May be repeated.",
)
@click.option(
    "--style",
    type=click.Choice(["screen", "paper"]),
    default="screen",
    show_default=True,
    help="Draw for a screen, or for a paper: one figure per network and data set, one column wide, as PDF and SVG in "
    "plots/paper/.",
)
def command(path: Path, only: tuple[str, ...], style: Literal["screen", "paper"]) -> None:
    """Draw the figures of a results folder.

    They go into its plots/ as PDF, SVG and PNG. RESULTS is results/<campaign>, or a folder of several such folders.
    """
    for folder in find_results(path):
        results = read(folder, "faultbench.output.plots", *_NEEDED_LATER)

        from faultbench.output.plots import write_plots

        for written in write_plots(results, folder / "plots", only, style):
            echo_quoted(written)
        for remark in results.remarks:
            echo_quoted(remark, err=True)
