"""`faultbench replay`: run one stored trial again, and show what its flips do."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.campaign import Campaign, CampaignError
from faultbench.cli.option_types import FiniteRange
from faultbench.cli.options import confirm_plugins, data_option, in_order, trust_option
from faultbench.cli.replay_output import save_images, show_effects, show_minimised, show_row
from faultbench.cli.verb import Section, takes, verb
from faultbench.results.folder import ber_text
from faultbench.system.errors import FaultbenchError

if TYPE_CHECKING:
    from faultbench.runner.replay.replayed_trial import ReplayedTrial

DIFFERENT = 1
"""Exit code if the trial's row differs from the stored one."""

N_SHOWN = 20
"""Rows of a table, by default."""


@dataclass(frozen=True, kw_only=True)
class ReplayCommand:
    """Options of `faultbench replay`."""

    path: Path
    cell: str
    number: int
    n_rows: int
    sheet: Path | None
    is_minimised: bool
    points: float | None
    max_runs: int
    moved: Path | None
    allow_outside: bool
    with_plugins: bool


def _number_of_rows(_context: click.Context, _option: click.Parameter, text: str) -> int:
    if text != "all" and not text.isdecimal():
        raise FaultbenchError(f"--rows: {text!r} is no number of rows; give a whole number, or all")
    return sys.maxsize if text == "all" else int(text)


_minimise_options = in_order(
    click.option(
        "--minimise",
        "is_minimised",
        is_flag=True,
        help="Find a smallest set of the trial's flips that still fails.",
    ),
    click.option(
        "--points-lost",
        "points",
        metavar="POINTS",
        type=FiniteRange(min=0, min_open=True),
        help="Let --minimise call a set of flips failing if it costs POINTS points of accuracy or more.",
    ),
    click.option(
        "--max-runs",
        metavar="N",
        type=click.IntRange(1, 10**9),
        default=1000,
        show_default=True,
        help="End --minimise after N runs of the trial.",
    ),
)
"""Decorator that adds the options of the search for the flips that do the harm."""


_replay_options = in_order(
    click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path)),
    click.argument("cell", metavar="CELL"),
    click.argument("number", metavar="TRIAL", type=click.IntRange(min=0)),
    click.option(
        "--rows",
        "n_rows",
        metavar="N|all",
        default=str(N_SHOWN),
        show_default=True,
        callback=_number_of_rows,
        help="Show at most N rows of each table.",
    ),
    click.option(
        "--images",
        "sheet",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        help="Write a contact sheet of the images that changed class into DIR.",
    ),
    _minimise_options,
    click.option(
        "--campaign",
        "moved",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Read the campaign from FILE, if its file was moved.",
    ),
    click.option("--allow-outside", is_flag=True, help="Let the campaign name files outside its folder."),
    trust_option,
    data_option,
)
"""Decorator that adds the arguments and options of `ReplayCommand`."""


@verb("replay", Section.INSPECT)
@_replay_options
@takes(ReplayCommand)
def command(options: ReplayCommand) -> int:
    """Run a stored trial again and show what its flips do.

    The result must equal the stored one. CELL is the start of a cell's key, or labels and a BER: relu@1e-6,
    resnet20/relu@1e-6. Exit code 1: the row differs from the stored one. On a machine without a CUDA card, the row of a
    card may differ by 2 % of its images. --minimise calls a set of flips failing if it changes the class of at least
    half as many images as the whole trial, or makes their logits not finite; with --points-lost, if it costs that many
    points of accuracy.
    """
    from faultbench.results.folder import read_folder
    from faultbench.runner.replay.selection import find_cell, find_trial
    from faultbench.system.progress.reporter import reporter

    if options.points is not None and not options.is_minimised:
        raise FaultbenchError(f"--points-lost needs --minimise; add it, or leave --points-lost {options.points:g} out")
    folder = read_folder(options.path)
    entry = find_cell(folder, options.cell)
    stored = find_trial(folder, entry, options.number)
    campaign = _campaign(folder.path, options)

    from faultbench.runner.replay.replayed_trial import replay_trial

    replayed = replay_trial(campaign, folder, entry, stored, reporter=reporter(None, is_terminal=sys.stderr.isatty()))
    click.echo(f"{'/'.join(entry.labels)}@{ber_text(entry.ber)} trial {options.number}, cell {entry.cell}")
    _show(replayed, entry.cell, options)
    return 0 if replayed.agrees else DIFFERENT


def _show(replayed: "ReplayedTrial", cell: str, options: ReplayCommand) -> None:
    show_row(replayed)
    changed = show_effects(replayed, options.n_rows)
    if options.sheet:
        save_images(replayed, changed, options.sheet / f"{cell[:12]}-{options.number}.png")
    if options.is_minimised:
        show_minimised(replayed, points=options.points, max_runs=options.max_runs, n_rows=options.n_rows)
    for difference in replayed.differences:
        click.echo(f"differs: {difference}", err=True)


def _campaign(folder: Path, options: ReplayCommand) -> Campaign:
    from faultbench.runner.replay.replayed_trial import recorded_campaign

    try:
        campaign = recorded_campaign(folder, options.moved, allow_outside=options.allow_outside)
    except CampaignError as error:
        hint = "the campaign that it was made by; if its files were moved, --campaign FILE says where its file lies now"
        problems = "; ".join(str(error).splitlines())
        raise FaultbenchError(f"{folder / 'manifest.json'}: {hint}: {problems}") from error
    confirm_plugins(campaign, folder, with_plugins=options.with_plugins)
    return campaign
