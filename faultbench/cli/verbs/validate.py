"""`faultbench validate`: check a campaign file, and print the size of the campaign."""

from pathlib import Path

import click

from faultbench.campaign.spec import AXES
from faultbench.cli.options import NOT_LOOKED_AT, campaign_arguments, read_campaign
from faultbench.cli.quoted_text import echo_quoted
from faultbench.cli.verb import Section, verb


@verb("validate", Section.CHECK)
@campaign_arguments
def command(file: Path, overrides: tuple[str, ...]) -> None:
    """Check a campaign file without building a network.

    Weights and images are not read.
    """
    campaign = read_campaign(file, overrides)
    axes = ", ".join(f"{key} {len(campaign.spec[key])}" for key in (*AXES, "bers"))
    n_cells = len(campaign.cells)
    trials = f"{'at most ' if campaign.rule.until else ''}{n_cells * campaign.trials:,} trials"
    echo_quoted(f"{click.format_filename(file)}: ok: {n_cells:,} cells ({axes}), {trials}")
    echo_quoted(NOT_LOOKED_AT)
