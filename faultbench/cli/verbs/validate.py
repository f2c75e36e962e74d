"""`faultbench validate`: check a campaign file and say how large the campaign is."""

from pathlib import Path

import click

from faultbench.campaign.spec import AXES
from faultbench.cli.options import campaign_arguments, read_campaign


@click.command("validate")
@campaign_arguments
def command(file: Path, overrides: tuple[str, ...]) -> None:
    """Check a campaign file without running anything."""
    campaign = read_campaign(file, overrides)
    axes = ", ".join(f"{key} {len(campaign.spec[key])}" for key in (*AXES, "bers"))
    n_cells = len(campaign.cells)
    trials = f"{'at most ' if campaign.rule.until else ''}{n_cells * campaign.trials:,} trials"
    click.echo(f"{click.format_filename(file)}: ok: {n_cells:,} cells ({axes}), {trials}")
