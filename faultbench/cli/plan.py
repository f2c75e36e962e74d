"""`faultbench plan`: what a campaign would run, and what it can be expected to show."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.campaign import Campaign, Cell, Subject
from faultbench.cli.options import campaign_arguments, data_option, output_option, plugins_flag, runnable_campaign
from faultbench.journal import JournalContents, read_journal
from faultbench.records import Trial

if TYPE_CHECKING:
    from faultbench.forecast import Forecast


@click.command("plan")
@campaign_arguments
@plugins_flag
@output_option
@data_option
def command(file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path) -> None:
    """Print each cell's fault-space bits, expected flips, chance of a trial without flips, and missing trials.

    Also how wide its interval is expected to be, and how many trials more would halve that. Loads no image and
    trains nothing, but finds all that would stop the campaign.
    """
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)

    from faultbench.manifest import check_same_campaign
    from faultbench.runner import check

    n_bits = {key: built.n_bits for key, built in check(campaign).items()}
    folder = root / campaign.name
    check_same_campaign(folder, campaign)
    _show(campaign, n_bits, read_journal(folder / "journal"))


@dataclass(frozen=True)
class Row:
    """What a cell takes, and what it can be expected to show."""

    cell: Cell
    n_bits: int
    n_done: int
    n_missing: int
    expected: "Forecast"

    @property
    def fields(self) -> tuple[str, ...]:
        """As the table prints them."""
        flips = self.n_bits * self.cell.ber
        no_flip = math.exp(self.n_bits * math.log1p(-self.cell.ber))
        source = f"{self.expected.n_known} trials" if self.expected.n_known else "worst case"
        more = "more than ×100" if self.expected.n_more is None else f"+{self.expected.n_more:,}"
        return (
            _name(self.cell.subject), f"{self.n_bits:,}", f"{self.cell.ber:g}", f"{flips:.3g}", f"{no_flip:.3g}",
            str(self.n_done), str(self.n_missing), f"{self.expected.n_trials:,}",
            f"±{100 * self.expected.half_width:.1f}", source, more,
        )  # fmt: skip


COLUMNS = ("cell", "bits", "BER", "flips", "P(no flip)", "done", "missing", "trials", "points", "from", "to halve")


def _show(campaign: Campaign, n_bits: dict[str, int], known: JournalContents) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = list(_rows(campaign, n_bits, known))
    table = Table(*COLUMNS, title=campaign.name)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row.fields)
    Console(width=max(150, Console().width), highlight=False).print(table)
    click.echo(_missing_text(campaign, rows))
    click.echo(_expected_text(campaign, rows))
    _warn_of_idle_cells(campaign, n_bits)


def _rows(campaign: Campaign, n_bits: dict[str, int], known: JournalContents) -> Iterator[Row]:
    from faultbench.allocation import missing
    from faultbench.forecast import forecast
    from faultbench.sampled import accuracy

    trials: dict[str, list[Trial]] = {}
    for (cell_key, _), trial in sorted(known.trials.items()):
        trials.setdefault(cell_key, []).append(trial)
    for cell in campaign.cells:
        done = trials.get(cell.key, [])
        n_done = sum(trial.trial < campaign.trials for trial in done)
        golden = known.goldens.get(cell.subject.key)
        n_missing = sum(1 for _ in missing(campaign.rule, cell.key, known.trials, golden))
        expected = forecast(campaign.rule, [accuracy(trial, golden) for trial in done])
        yield Row(cell, n_bits[cell.subject.key], n_done, n_missing, expected)


def _missing_text(campaign: Campaign, rows: Sequence[Row]) -> str:
    n_missing = sum(row.n_missing for row in rows)
    if campaign.rule.until is None:
        return f"{len(rows)} cells, {n_missing:,} of {len(rows) * campaign.trials:,} trials missing"
    return (
        f"{len(rows)} cells, {n_missing:,} trials missing before the next look at cells wider than "
        f"±{campaign.rule.until.accuracy_halfwidth:g}; at most {campaign.trials:,} trials a cell"
    )


def _expected_text(campaign: Campaign, rows: Sequence[Row]) -> str:
    from faultbench.measures import interval_text

    n_trials, n_more = sum(row.expected.n_trials for row in rows), [row.expected.n_more for row in rows]
    halving = f"{'more than ' if None in n_more else ''}{sum(filter(None, n_more)):,}"
    return (
        f"points: half of the {interval_text(campaign.rule)} of the mean accuracy expected after so many trials, if "
        "they go on like those done, or in the worst case: a trial's images all right or all wrong, by turns.\n"
        f"To halve all of these would take {halving} trials beyond {n_trials:,}."
    )


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
