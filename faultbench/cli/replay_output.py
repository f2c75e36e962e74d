"""Output of `faultbench replay`: the row, its flips, the damage, the images and the smallest set of flips."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.system.text_tables import Column, TextTable

if TYPE_CHECKING:
    from faultbench.runner.replay.damage import ChangedImage, Damage
    from faultbench.runner.replay.flips import Flip
    from faultbench.runner.replay.minimise import MinimalFailure
    from faultbench.runner.replay.replayed_trial import ReplayedTrial

FLIP_COLUMNS = (
    Column("tensor", is_text=True),
    Column("index"),
    Column("bit"),
    Column("flip"),
    Column("before"),
    Column("after"),
)
SITE_COLUMNS = (Column("site", is_text=True), Column("golden range"), Column("outside"), Column("not finite"))
IMAGE_COLUMNS = (Column("image"), Column("label"), Column("golden"), Column("now"))


def show_row(replayed: "ReplayedTrial") -> None:
    """Print the counts of the trial, and whether they are as stored."""
    trial, golden = replayed.now, replayed.golden.n_correct
    click.echo(
        f"{trial.n_flips:,} flips, {trial.n_images:,} images: {trial.n_correct:,} correct ({golden:,} in the golden "
        f"run), {trial.n_masked:,} masked, {trial.n_sdc:,} SDC, {trial.n_due:,} DUE"
    )
    click.echo(_verdict(replayed))


def _verdict(replayed: "ReplayedTrial") -> str:
    if not replayed.differences:
        return "the row is as it was stored"
    if not replayed.agrees:
        return "the row is not as it was stored"
    n_apart = replayed.stored.images_apart(replayed.now)
    return (
        f"the row is from a CUDA card; this processor counts at most {n_apart} of its {replayed.now.n_images:,} images "
        "otherwise, as last bits may do"
    )


def show_effects(replayed: "ReplayedTrial", n_rows: int) -> "list[ChangedImage]":
    """Print the flips, the damage at each site, and the images that changed class; return these images."""
    from faultbench.runner.replay.damage import damage
    from faultbench.runner.replay.flips import flips_of

    network, space = replayed.live
    flips = flips_of(space, replayed.fault_map)
    _show_flips("flips, those that change a value most first", sorted(flips, key=lambda flip: -flip.change), n_rows)
    sites, changed = damage(network, space, replayed.fault_map, replayed.images, replayed.batch)
    _show_damage(sites)
    rows = [
        (str(int(replayed.rows[image.row])), str(image.label), str(image.golden), _class(image.now))
        for image in changed[:n_rows]
    ]
    _show_table("images that changed class", IMAGE_COLUMNS, rows, n_all=len(changed))
    return changed


def show_minimised(replayed: "ReplayedTrial", *, points: float | None, max_runs: int, n_rows: int) -> None:
    """Search a smallest set of flips that still fails, and print it; options are those of `minimise`."""
    from faultbench.runner.replay.flips import flips_of
    from faultbench.runner.replay.minimise import fault_map_of, minimise

    failing: MinimalFailure = minimise(replayed, points=points, max_runs=max_runs)
    smallest, outcome = failing.flips, failing.outcome
    flips = flips_of(replayed.live[1], fault_map_of(smallest.items))
    _show_flips(f"smallest set of flips that fails: {failing.rule}", flips, max(n_rows, len(flips)))
    proof = (
        "without any one of them it passes"
        if smallest.is_minimal
        else "--max-runs was reached: there may be smaller ones"
    )
    click.echo(
        f"{len(flips):,} of {len(replayed.fault_map):,} flips, found in {smallest.n_runs:,} runs; {proof}; "
        f"{outcome.n_correct:,} correct, {outcome.n_masked:,} masked, {outcome.n_sdc:,} SDC, {outcome.n_due:,} DUE"
    )


def save_images(replayed: "ReplayedTrial", changed: "Sequence[ChangedImage]", path: Path) -> None:
    """Write a contact sheet of the images that changed class."""
    from faultbench.runner.replay.contact_sheet import MOST, save_sheet

    if not changed:
        click.echo("no image changed class: no contact sheet", err=True)
        return
    import torch

    shown = changed[:MOST]
    captions = [
        f"{int(replayed.rows[image.row])}: {image.label}\n{image.golden} → {_class(image.now)}" for image in shown
    ]
    pixels = replayed.images.select(torch.tensor([image.row for image in shown])).pixels
    save_sheet(path, pixels.numpy(), captions)
    click.echo(
        f"{path}: {len(shown):,} of {len(changed):,} images; below each its number: label, golden → now", err=True
    )


def _show_flips(title: str, flips: "Sequence[Flip]", n_rows: int) -> None:
    rows = [
        (f.tensor, _index(f), str(f.bit), "0→1" if f.rises else "1→0", f"{f.before:.6g}", f"{f.after:.6g}")
        for f in flips[:n_rows]
    ]
    _show_table(title, FLIP_COLUMNS, rows, n_all=len(flips))


def _show_damage(sites: "Sequence[Damage]") -> None:
    rows = [
        (d.site, f"[{d.low:.4g}, {d.high:.4g}]", _share(d.n_outside, d.n_values), _share(d.n_non_finite, d.n_values))
        for d in sites
    ]
    _show_table("values that leave the sites", SITE_COLUMNS, rows, n_all=len(rows))
    outside = next((d.site for d in sites if d.n_outside), "none")
    broken = next((d.site for d in sites if d.n_non_finite), "none")
    click.echo(f"first site that leaves its range: {outside}; first that is not finite: {broken}")


def _show_table(title: str, columns: Sequence[Column], rows: Sequence[tuple[str, ...]], *, n_all: int) -> None:
    more = f" ({len(rows):,} of {n_all:,} shown)" if len(rows) < n_all else f" ({n_all:,})"
    click.echo(f"\n{title}{more}")
    if rows:
        TextTable(columns, rows).show()


def _index(flip: "Flip") -> str:
    return ", ".join(map(str, flip.index)) or "-"


def _class(label: int | None) -> str:
    return "not finite" if label is None else str(label)


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.3g} %" if count else "-"
