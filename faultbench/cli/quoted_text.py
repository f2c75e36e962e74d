"""Printing of texts that users and files bring: paths, labels, remarks."""

import click

from faultbench.system.printable import printable


def echo_quoted(text: object, *, err: bool = False) -> None:
    """Print one line; characters that a terminal would act on are printed as escapes."""
    click.echo(printable(str(text)), err=err)
