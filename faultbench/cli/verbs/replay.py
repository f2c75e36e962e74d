"""`faultbench replay`: one stored trial run again, and what its flips do."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faultbench.campaign import Campaign, CampaignError
from faultbench.cli.options import confirm_plugins, data_option, plugins_flag
from faultbench.results.folder import ber_text
from faultbench.system.errors import FaultbenchError

if TYPE_CHECKING:
    from faultbench.runner.replay.damage import Changed, Damage
    from faultbench.runner.replay.flips import Flip
    from faultbench.runner.replay.minimise import Failing
    from faultbench.runner.replay.replayed_trial import Again

DIFFERENT = 1
"""Exit code where the row does not come out as it was stored."""

N_SHOWN = 20


def _rows(_context: click.Context, _option: click.Parameter, text: str) -> int:
    if text != "all" and not text.isdecimal():
        raise FaultbenchError(f"--limit: {text!r} is no number of rows; give a whole number, or all")
    return sys.maxsize if text == "all" else int(text)


@click.command("replay")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.argument("cell", metavar="CELL")
@click.argument("number", metavar="TRIAL", type=click.IntRange(min=0))
@click.option("--limit", metavar="N|all", default=str(N_SHOWN), show_default=True, callback=_rows, help="Rows a table.")
@click.option(
    "--images", "sheet", type=click.Path(path_type=Path, file_okay=False), help="Write the turned images here."
)
@click.option("--minimise", "is_minimised", is_flag=True, help="Find the smallest set of its flips that still fails.")
@click.option("--fails-at", "points", type=click.FloatRange(min=0, min_open=True), help="Points of accuracy to lose.")
@click.option("--max-runs", type=click.IntRange(min=1), default=1000, show_default=True, help="Runs of --minimise.")
@click.option("--campaign", "moved", type=click.Path(path_type=Path), help="The campaign's file, if it was moved.")
@click.option("--allow-outside", is_flag=True, help="Let the campaign name files outside of its folder.")
@plugins_flag
@data_option
def command(
    path: Path,
    cell: str,
    number: int,
    limit: int,
    sheet: Path | None,
    is_minimised: bool,
    points: float | None,
    max_runs: int,
    moved: Path | None,
    allow_outside: bool,
    with_plugins: bool,
) -> int:
    """Run a stored trial again, check that it comes out equal, and show what its flips do.

    CELL is the start of a cell's key, or labels and a BER: relu@1e-6, resnet20/relu@1e-6. Exit code 1 when the row
    differs from the stored one; a row from a card that is not here may differ by two hundredths of its images.
    --minimise calls a set of flips failing when it turns or ruins at least half as many images as the whole trial; with
    --fails-at, when it costs so many points of accuracy.
    """
    from faultbench.results.folder import read_folder
    from faultbench.runner.replay.selection import find_cell, find_trial
    from faultbench.system.progress.reporter import reporter

    if points is not None and not is_minimised:
        raise FaultbenchError(f"--fails-at needs --minimise; add it, or leave --fails-at {points:g} out")
    folder = read_folder(path)
    entry = find_cell(folder, cell)
    stored = find_trial(folder, entry, number)
    campaign = _campaign(folder.path, moved, allow_outside=allow_outside, with_plugins=with_plugins)

    from faultbench.runner.replay.replayed_trial import run_again

    again = run_again(campaign, folder, entry, stored, reporter=reporter(None, is_terminal=sys.stderr.isatty()))
    click.echo(f"{'/'.join(entry.labels)}@{ber_text(entry.ber)} trial {number}, cell {entry.cell}")
    _show_row(again)
    changed = _show_looks(again, limit)
    if sheet:
        _save_images(again, changed, sheet / f"{entry.cell[:12]}-{number}.png")
    if is_minimised:
        _show_minimised(again, points, max_runs, limit)
    for difference in again.differences:
        click.echo(f"differs: {difference}", err=True)
    return 0 if again.agrees else DIFFERENT


def _campaign(folder: Path, moved: Path | None, *, allow_outside: bool, with_plugins: bool) -> Campaign:
    from faultbench.runner.replay.replayed_trial import recorded_campaign

    try:
        campaign = recorded_campaign(folder, moved, allow_outside=allow_outside)
    except CampaignError as error:
        hint = "the campaign that it was made by; if its files were moved, --campaign FILE says where its file lies now"
        raise FaultbenchError(f"{folder / 'manifest.json'}: {hint}:\n{error}") from error
    confirm_plugins(campaign, folder, with_plugins=with_plugins)
    return campaign


def _show_row(again: "Again") -> None:
    trial, golden = again.now, again.golden.n_correct
    click.echo(
        f"{trial.n_flips:,} flips, {trial.n_images:,} images: {trial.n_correct:,} correct ({golden:,} in the golden "
        f"run), {trial.n_masked:,} masked, {trial.n_sdc:,} SDC, {trial.n_due:,} DUE"
    )
    click.echo(_verdict(again))


def _verdict(again: "Again") -> str:
    if not again.differences:
        return "the row is as it was stored"
    if not again.agrees:
        return "the row is not as it was stored"
    n_apart = again.stored.images_apart(again.now)
    return (
        f"the row is from a CUDA card; this processor counts at most {n_apart} of its {again.now.n_images:,} images "
        "otherwise, as last bits may do"
    )


def _show_looks(again: "Again", limit: int) -> "list[Changed]":
    from faultbench.runner.replay.damage import damage
    from faultbench.runner.replay.flips import flips_of

    network, space = again.live
    flips = flips_of(space, again.fault_map)
    _show_flips("flips, those that change a value most first", sorted(flips, key=lambda flip: -flip.change), limit)
    sites, changed = damage(network, space, again.fault_map, again.images, again.batch)
    _show_damage(sites)
    shown = [
        (str(int(again.rows[one.row])), str(one.label), str(one.golden), _class(one.now)) for one in changed[:limit]
    ]
    _table("images that changed class", ("image", "label", "golden", "now"), shown, n_all=len(changed))
    return changed


def _show_flips(title: str, flips: "Sequence[Flip]", limit: int) -> None:
    rows = [
        (f.tensor, _index(f), str(f.bit), "0→1" if f.rises else "1→0", f"{f.before:.6g}", f"{f.after:.6g}")
        for f in flips[:limit]
    ]
    _table(title, ("tensor", "index", "bit", "flip", "before", "after"), rows, n_all=len(flips))


def _show_damage(sites: "Sequence[Damage]") -> None:
    rows = [
        (d.site, f"[{d.low:.4g}, {d.high:.4g}]", _share(d.n_outside, d.n_values), _share(d.n_non_finite, d.n_values))
        for d in sites
    ]
    _table("values that leave the sites", ("site", "golden range", "outside", "not finite"), rows, n_all=len(rows))
    outside = next((d.site for d in sites if d.n_outside), "none")
    broken = next((d.site for d in sites if d.n_non_finite), "none")
    click.echo(f"first site that leaves its range: {outside}; first that is not finite: {broken}")


def _show_minimised(again: "Again", points: float | None, max_runs: int, limit: int) -> None:
    from faultbench.runner.replay.flips import flips_of
    from faultbench.runner.replay.minimise import fault_map_of, minimise

    failing: Failing = minimise(again, points=points, max_runs=max_runs)
    found, outcome = failing.found, failing.outcome
    flips = flips_of(again.live[1], fault_map_of(found.items))
    _show_flips(f"smallest set of flips that fails: {failing.rule}", flips, max(limit, len(flips)))
    proof = (
        "without any one of them it passes" if found.is_minimal else "--max-runs was reached: there may be smaller ones"
    )
    click.echo(
        f"{len(flips):,} of {len(again.fault_map):,} flips, found in {found.n_runs:,} runs; {proof}; "
        f"{outcome.n_correct:,} correct, {outcome.n_masked:,} masked, {outcome.n_sdc:,} SDC, {outcome.n_due:,} DUE"
    )


def _save_images(again: "Again", changed: "Sequence[Changed]", path: Path) -> None:
    from faultbench.runner.replay.contact_sheet import MOST, save_sheet

    if not changed:
        click.echo("no image changed class: no contact sheet", err=True)
        return
    import torch

    shown = changed[:MOST]
    captions = [f"{int(again.rows[one.row])}: {one.label}\n{one.golden} → {_class(one.now)}" for one in shown]
    pixels = again.images.chosen(torch.tensor([one.row for one in shown])).pixels
    save_sheet(path, pixels.numpy(), captions)
    click.echo(
        f"{path}: {len(shown):,} of {len(changed):,} images; below each its number: label, golden → now", err=True
    )


def _table(title: str, headers: Sequence[str], rows: Sequence[tuple[str, ...]], *, n_all: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    more = f" ({len(rows):,} of {n_all:,} shown)" if len(rows) < n_all else f" ({n_all:,})"
    click.echo(f"\n{title}{more}")
    if not rows:
        return
    table: Any = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=max(110, Console().width), highlight=False).print(table)


def _index(flip: "Flip") -> str:
    return ", ".join(map(str, flip.index)) or "-"


def _class(label: int | None) -> str:
    return "not finite" if label is None else str(label)


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.3g} %" if count else "-"
