"""`faultbench plan`: what a campaign would run, and what it can be expected to show."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.campaign import Campaign, Cell, Subject
from faultbench.cli.options import (
    campaign_arguments,
    data_option,
    output_option,
    plugins_flag,
    runnable_campaign,
)
from faultbench.results.folder import ber_text
from faultbench.results.journal.journal import JournalContents, read_journal
from faultbench.results.journal.records import Trial

if TYPE_CHECKING:
    from faultbench.results.forecast import Forecast
    from faultbench.runner.cost_estimate import Price


@click.command("plan")
@campaign_arguments
@plugins_flag
@output_option
@data_option
@click.option(
    "--no-timing",
    is_flag=True,
    help="Build no network, so that it takes no time: bits only where a golden run recorded them, no time and disk.",
)
def command(file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path, no_timing: bool) -> None:
    """Print each cell's fault-space bits, expected flips, chance of a trial without flips, and missing trials.

    Also how wide its interval is expected to be, how many trials more would halve that, and the time and disk that is
    missing. Loads no image and trains nothing, but finds all that would stop the campaign.
    """
    # Without timing no plug-in's code runs, and nobody has to confirm it.
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins or no_timing)

    from faultbench.results.manifest_file import check_same_campaign

    folder = root / campaign.name
    check_same_campaign(folder, campaign)
    known = read_journal(folder / "journal")
    _show(campaign, None if no_timing else _costs(campaign, known, folder), known)


@dataclass(frozen=True)
class Costs:
    """What networks say when they are built: by subject key the bits of fault spaces; time; and disk."""

    n_bits: dict[str, int]
    price: "Price"
    disk_bytes: int


def _costs(campaign: Campaign, known: JournalContents, folder: Path) -> Costs:
    from faultbench.runner.cost_estimate import disk_bytes, price
    from faultbench.runner.subjects.artifacts import ArtifactStore
    from faultbench.runner.subjects.components import check

    parts = check(campaign)
    found = price(campaign, parts, known, ArtifactStore(folder / "artifacts"))
    n_bits = {key: built.n_bits for key, built in parts.items()}
    return Costs(n_bits, found, disk_bytes(parts, sum(found.n_missing.values())))


@dataclass(frozen=True)
class Row:
    """What a cell takes, and what it can be expected to show; bits and seconds are None where nothing says."""

    cell: Cell
    n_bits: int | None
    n_done: int
    n_missing: int
    missing_s: float | None
    expected: "Forecast"

    @property
    def fields(self) -> tuple[str, ...]:
        """As the table prints them, without the time."""
        source = f"{self.expected.n_known} trials" if self.expected.n_known else "worst case"
        more = "more than ×100" if self.expected.n_more is None else f"+{self.expected.n_more:,}"
        return (
            _name(self.cell.subject), *self._flips, str(self.n_done), str(self.n_missing),
            f"{self.expected.n_trials:,}", f"±{100 * self.expected.half_width:.1f}", source, more,
        )  # fmt: skip

    @property
    def _flips(self) -> tuple[str, str, str, str]:
        """Bits, BER, flips a trial and the chance of none."""
        ber = ber_text(self.cell.ber)
        if self.n_bits is None:
            return "?", ber, "?", "?"
        no_flip = math.exp(self.n_bits * math.log1p(-self.cell.ber))
        return f"{self.n_bits:,}", ber, f"{self.n_bits * self.cell.ber:.3g}", f"{no_flip:.3g}"


COLUMNS = ("cell", "bits", "BER", "flips", "P(no flip)", "done", "missing", "trials", "points", "from", "to halve")


def _show(campaign: Campaign, costs: Costs | None, known: JournalContents) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = list(_rows(campaign, costs, known))
    table = Table(*COLUMNS, *(["time"] if costs else []), title=campaign.name)
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for row in rows:
        table.add_row(*row.fields, *([] if row.missing_s is None else [duration_text(row.missing_s)]))
    Console(width=max(150, Console().width), highlight=False).print(table)
    click.echo(_missing_text(campaign, rows))
    click.echo(_expected_text(campaign, rows))
    click.echo(_cost_text(costs))
    _warn_of_idle_cells(rows)


def _rows(campaign: Campaign, costs: Costs | None, known: JournalContents) -> Iterator[Row]:
    from faultbench.results.estimates import accuracies
    from faultbench.results.forecast import forecast
    from faultbench.results.missing_trials import n_foreseen

    trials: dict[str, list[Trial]] = {}
    for (cell_key, _), trial in sorted(known.trials.items()):
        trials.setdefault(cell_key, []).append(trial)
    n_missing = costs.price.n_missing if costs else n_foreseen(campaign, known)
    recorded = {key: golden.n_bits for key, golden in known.goldens.items()}
    for cell in campaign.cells:
        done, subject = trials.get(cell.key, []), cell.subject.key
        n_done = sum(trial.trial < campaign.trials for trial in done)
        golden = known.goldens.get(subject)
        strata = known.strata.get(cell.key)
        expected = forecast(campaign.rule, accuracies(done, golden, strata))
        n_bits = costs.n_bits[subject] if costs else recorded.get(subject)
        missing_s = costs.price.trial_s[cell.key] if costs else None
        yield Row(cell, n_bits, n_done, n_missing[cell.key], missing_s, expected)


def _cost_text(costs: Costs | None) -> str:
    if costs is None:
        return (
            "Bits are those of recorded golden runs, ? where there is none. Without --no-timing networks are built: "
            "for bits, time and disk, and to find all that would stop the campaign."
        )
    price = costs.price
    spent = {"training": price.training_s, "fitting": price.fitting_s, "golden runs": price.golden_s}
    spent["trials"] = price.trials_s
    named = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in spent.items())
    unforeseen = f"; not known, and not in it: {', '.join(price.unforeseen)}" if price.unforeseen else ""
    return (
        "time: of one core of this machine, as if every trial ran the whole network and every search all its steps: "
        f"{named}; {duration_text(price.total_s)} together{unforeseen}. "
        f"Disk: about {size_text(costs.disk_bytes)} for rows, weights and bounds."
    )


def _missing_text(campaign: Campaign, rows: Sequence[Row]) -> str:
    n_missing = sum(row.n_missing for row in rows)
    if campaign.rule.until is None:
        return f"{len(rows)} cells, {n_missing:,} of {len(rows) * campaign.trials:,} trials missing"
    return (
        f"{len(rows)} cells, {n_missing:,} trials missing before the next look at cells wider than "
        f"±{campaign.rule.until.accuracy_halfwidth:g}; at most {campaign.trials:,} trials a cell"
    )


def _expected_text(campaign: Campaign, rows: Sequence[Row]) -> str:
    n_trials, n_more = sum(row.expected.n_trials for row in rows), [row.expected.n_more for row in rows]
    halving = f"{'more than ' if None in n_more else ''}{sum(filter(None, n_more)):,}"
    return (
        f"points: half of the {campaign.rule.interval_text} of the mean accuracy expected after so many trials, if "
        "they go on like those done, or in the worst case: a trial's images all right or all wrong, by turns.\n"
        f"To halve all of these would take {halving} trials beyond {n_trials:,}."
    )


def _name(subject: Subject) -> str:
    """What tells a subject from the others, guards and faults only where they are not the usual ones."""
    choices = (subject.dataset, subject.model, subject.scheme, subject.guard, subject.format, subject.fault)
    return "/".join(choice.label for choice in choices if choice.label not in ("none", "bernoulli"))


def duration_text(seconds: float) -> str:
    """Two units that count: 45 s, 12 m 30 s, 3 h 20 m, 5 d 6 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 or not seconds else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, smaller, size, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return "1 m 0 s"


def size_text(n_bytes: int) -> str:
    """In units of 1,000 bytes and their like."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if n_bytes >= 10**power:
            return f"{n_bytes / 10**power:.3g} {unit}"
    return f"{n_bytes} bytes"


def _warn_of_idle_cells(rows: Sequence[Row]) -> None:
    idle = [row.cell for row in rows if row.n_bits is not None and row.n_bits * row.cell.ber < 1]
    if idle:
        bers = ", ".join(ber_text(ber) for ber in sorted({cell.ber for cell in idle}))
        click.echo(
            f"warning: {len(idle)} cells expect less than one flip a trial (BER {bers}): most of their trials are the "
            "golden run; raise the BER, or take a larger network",
            err=True,
        )
