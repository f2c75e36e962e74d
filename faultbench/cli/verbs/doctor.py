"""`faultbench doctor`: what this machine has of what faultbench needs."""

import click

_MARKS = {"ok": "ok", "missing": "--", "broken": "BROKEN"}


@click.command("doctor")
def command() -> int:
    """Show versions, devices, data sets found, whether torch and torchvision match, and optional extras.

    Exit code 0 when faultbench can run here, though something optional may be missing (--), and 4 when it cannot.
    """
    from faultbench.system.doctor import findings

    n_broken = 0
    for finding in findings():
        n_broken += finding.state == "broken"
        click.echo(f"{_MARKS[finding.state]:<7}{finding.what:<14}{finding.said}")
    if n_broken:
        click.echo(f"faultbench: {n_broken} of these keep it from running; mend them first", err=True)
        return 4
    click.echo("next: faultbench validate CAMPAIGN, then faultbench run CAMPAIGN", err=True)
    return 0
