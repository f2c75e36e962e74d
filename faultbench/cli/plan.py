"""`faultbench plan`: what a campaign would run, and what it can be expected to show."""

import math
from collections.abc import Iterator
from pathlib import Path

import click

from faultbench.allocation import missing
from faultbench.campaign import Campaign, Subject
from faultbench.cli.options import campaign_arguments, data_option, output_option, plugins_flag, runnable_campaign
from faultbench.journal import JournalContents, read_journal


@click.command("plan")
@campaign_arguments
@plugins_flag
@output_option
@data_option
def command(file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path) -> None:
    """Print each cell's fault-space bits, expected flips, chance of a trial without flips, and missing trials.

    Loads no image and trains nothing, but finds all that would stop the campaign.
    """
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)

    from faultbench.manifest import check_same_campaign
    from faultbench.runner import check

    n_bits = {key: built.n_bits for key, built in check(campaign).items()}
    folder = root / campaign.name
    check_same_campaign(folder, campaign)
    _show(campaign, n_bits, read_journal(folder / "journal"))


def _show(campaign: Campaign, n_bits: dict[str, int], known: JournalContents) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = list(_rows(campaign, n_bits, known))
    table = Table("cell", "bits", "BER", "flips", "P(no flip)", "done", "missing", title=campaign.name)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    Console(width=max(130, Console().width), highlight=False).print(table)
    n_missing = sum(int(row[-1]) for row in rows)
    if campaign.rule.until:
        goal = f"±{campaign.rule.until.accuracy_halfwidth:g}"
        click.echo(
            f"{len(rows)} cells, {n_missing:,} trials missing before the next look at cells wider than {goal}; "
            f"at most {campaign.trials:,} trials a cell"
        )
    else:
        click.echo(f"{len(rows)} cells, {n_missing:,} of {len(rows) * campaign.trials:,} trials missing")
    _warn_of_idle_cells(campaign, n_bits)


def _rows(campaign: Campaign, n_bits: dict[str, int], known: JournalContents) -> Iterator[tuple[str, ...]]:
    for cell in campaign.cells:
        bits = n_bits[cell.subject.key]
        n_missing = sum(1 for _ in missing(campaign.rule, cell.key, known.trials))
        n_done = sum((cell.key, trial) in known.trials for trial in range(campaign.trials))
        name = _name(cell.subject)
        no_flip = math.exp(bits * math.log1p(-cell.ber))
        yield (
            name, f"{bits:,}", f"{cell.ber:g}", f"{bits * cell.ber:.3g}", f"{no_flip:.3g}",
            str(n_done), str(n_missing),
        )  # fmt: skip


def _name(subject: Subject) -> str:
    """What tells a subject from the others, guards and faults only where they are not the usual ones."""
    choices = (subject.dataset, subject.model, subject.scheme, subject.guard, subject.format, subject.fault)
    return "/".join(choice.label for choice in choices if choice.label not in ("none", "bernoulli"))


def _warn_of_idle_cells(campaign: Campaign, n_bits: dict[str, int]) -> None:
    idle = [cell for cell in campaign.cells if n_bits[cell.subject.key] * cell.ber < 1]
    if idle:
        bers = ", ".join(f"{ber:g}" for ber in sorted({cell.ber for cell in idle}))
        click.echo(
            f"warning: {len(idle)} cells expect less than one flip a trial (BER {bers}): most of their trials are the "
            "golden run; raise the BER, or take a larger network",
            err=True,
        )
