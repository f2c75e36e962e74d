"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Any

import click


def campaign_arguments(verb: Any) -> Any:
    """The campaign file, and `-s key=value` to override its keys."""
    overrides = click.option(
        "-s", "overrides", metavar="KEY=VALUE", multiple=True, help="Override one key; may be repeated."
    )
    return click.argument("file", metavar="CAMPAIGN", type=click.Path(path_type=Path))(overrides(verb))


def output_option(verb: Any) -> Any:
    """`-o`, the folder that holds one results folder a campaign."""
    return click.option(
        "-o",
        "--output",
        "root",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("results"),
        show_default=True,
        help="Folder that holds one results folder a campaign.",
    )(verb)
