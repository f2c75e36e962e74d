"""`faultbench plan`: show what a campaign would run, and what to expect of it."""

from collections.abc import Sequence
from pathlib import Path

import click

from faultbench.campaign import Campaign
from faultbench.cli.execution_options import campaign_options
from faultbench.cli.options import NOT_LOOKED_AT, runnable_campaign
from faultbench.cli.plan_rows import COLUMNS, PlanCosts, PlanRow, plan_rows
from faultbench.cli.verb import Section, verb
from faultbench.results.folder import LABELS, ber_text, memory_sentences
from faultbench.results.journal.contents import Asked, JournalContents, read_journal
from faultbench.system.text_tables import Column, TextTable


@verb("plan", Section.RUN)
@campaign_options
@click.option(
    "--no-timing",
    is_flag=True,
    help="Build no network, which saves time. Bits are those of recorded golden runs; time and disk are left out.",
)
def command(file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path, no_timing: bool) -> None:
    """Show what a campaign would run, and what to expect of it.

    For each cell: bits of memory, expected flips per trial, probability of a trial without flips, missing trials, the
    expected half-width of the interval, and how many more trials would halve it. For the campaign: time and disk. Loads
    no image and trains nothing, but finds everything that would stop the campaign.
    """
    # Without timing no code of a plug-in runs, so it needs no trust.
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins or no_timing)

    from faultbench.results.manifest_file import check_same_campaign

    folder = root / campaign.name
    check_same_campaign(folder, campaign)
    known = read_journal(folder / "journal", Asked.by(campaign))
    _show(campaign, None if no_timing else _costs(campaign, known, folder), known)


def _costs(campaign: Campaign, known: JournalContents, folder: Path) -> PlanCosts:
    from faultbench.runner.cost_estimate import disk_bytes, estimate_cost
    from faultbench.runner.subjects.artifacts import ArtifactStore
    from faultbench.runner.subjects.components import check_components

    parts = check_components(campaign)
    price = estimate_cost(campaign, parts, known, ArtifactStore(folder / "artifacts"))
    n_bits = {key: built.n_bits for key, built in parts.items()}
    memory = [built.memory for built in parts.values()]
    return PlanCosts(n_bits, price, disk_bytes(parts, sum(price.n_missing.values())), memory)


def _show(campaign: Campaign, costs: PlanCosts | None, known: JournalContents) -> None:
    rows = list(plan_rows(campaign, costs, known))
    _show_table(campaign, rows, has_time=costs is not None)
    click.echo(_missing_text(campaign, rows))
    click.echo(_expected_text(campaign, rows))
    for sentence in memory_sentences([] if costs is None else costs.memory):
        click.echo(sentence)
    click.echo(_cost_text(costs))
    if advice := _sampling_advice(rows):
        click.echo(advice)
    _warn_of_idle_cells(rows)


def _show_table(campaign: Campaign, rows: Sequence[PlanRow], *, has_time: bool) -> None:
    shown = [name for name in LABELS if len({row.labels[name] for row in rows}) > 1] or ["scheme"]
    columns = [*(Column(name, is_text=True) for name in shown), *COLUMNS, *([Column("time")] if has_time else [])]
    fields = [
        (
            *(row.labels[name] for name in shown),
            *row.fields,
            "" if row.missing_s is None else duration_text(row.missing_s),
        )
        for row in rows
    ]
    TextTable(columns, [row[: len(columns)] for row in fields], title=_title(campaign, rows, shown)).show()


def _cost_text(costs: PlanCosts | None) -> str:
    if costs is None:
        return f"Bits are those of recorded golden runs, ? where there is none.\n{NOT_LOOKED_AT}"
    price = costs.price
    spent = {"training": price.training_s, "fitting": price.fitting_s, "golden runs": price.golden_s}
    spent["trials"] = price.trials_s
    named = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in spent.items())
    unforeseen = f"; unknown and not included: {', '.join(price.unforeseen)}" if price.unforeseen else ""
    return (
        "time: on one core of this machine, if every trial ran the whole network and every search all its steps: "
        f"{named}; {duration_text(price.total_s)} together{unforeseen}. "
        f"Disk: about {size_text(costs.disk_bytes)} for rows, weights and bounds."
    )


def _missing_text(campaign: Campaign, rows: Sequence[PlanRow]) -> str:
    n_missing = sum(row.n_missing for row in rows)
    if campaign.rule.until is None:
        return f"{len(rows)} cells, {n_missing:,} of {len(rows) * campaign.trials:,} trials missing"
    return (
        f"{len(rows)} cells, {n_missing:,} trials missing before the next look at cells wider than "
        f"±{campaign.rule.until.accuracy_halfwidth:g}; at most {campaign.trials:,} trials per cell"
    )


def _expected_text(campaign: Campaign, rows: Sequence[PlanRow]) -> str:
    n_trials, n_more = sum(row.expected.n_trials for row in rows), [row.expected.n_more for row in rows]
    halving = f"{'more than ' if None in n_more else ''}{sum(filter(None, n_more)):,}"
    return (
        f"points: half of the {campaign.rule.interval_text} of the mean accuracy expected after this number of trials, "
        "if the missing trials are like those done, or in the worst case: each trial gets all images right or all "
        "wrong.\n"
        f"To halve all of these would take {halving} trials beyond {n_trials:,}."
    )


def _sampling_advice(rows: Sequence[PlanRow]) -> str:
    """Return what strata would save; empty unless plain trials of some cells often have no flip."""
    from faultbench.trials.strata.design import WORTHWHILE

    idle = [
        row.no_flip
        for row in rows
        if row.no_flip is not None and (1 - row.no_flip) * WORTHWHILE <= 1 and row.cell.subject.sampling == "plain"
        and row.cell.subject.fault.name == "bernoulli"
    ]  # fmt: skip
    if not idle:
        return ""
    shares = sorted({f"{1 - max(idle):.2g}", f"{1 - min(idle):.2g}"})
    return (
        f"sampling: stratified would leave out the memories without a flip, whose probability is exact: intervals of "
        f"means and rates in {len(idle)} cells would be {' to '.join(shares)} times as wide, or less. Quantiles, the "
        "worst trial and critical BERs are empty then."
    )


def _title(campaign: Campaign, rows: Sequence[PlanRow], shown: Sequence[str]) -> str:
    """Return the name of the campaign and the labels that all cells share, without the guard `none`."""
    shared = [label for name, label in rows[0].labels.items() if name not in shown and label != "none"]
    return f"{campaign.name}: {', '.join(shared)}"


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: 45 s, 12 m 30 s, 3 h 20 m, 5 d 6 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 or not seconds else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, smaller, size, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return "1 m 0 s"


def size_text(n_bytes: int) -> str:
    """Return a size in bytes, kB, MB or GB, which are powers of 1,000."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if n_bytes >= 10**power:
            return f"{n_bytes / 10**power:.3g} {unit}"
    return f"{n_bytes} bytes"


def _warn_of_idle_cells(rows: Sequence[PlanRow]) -> None:
    idle = [row.cell for row in rows if row.n_bits is not None and row.n_bits * row.cell.ber < 1]
    if idle:
        bers = ", ".join(ber_text(ber) for ber in sorted({cell.ber for cell in idle}))
        click.echo(
            f"warning: {len(idle)} cells expect less than one flip per trial (BER {bers}): most of their trials are "
            "the golden run; raise the BER, or take a larger network",
            err=True,
        )
