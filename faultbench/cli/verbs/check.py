"""`faultbench check`: the gate of continuous integration."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.cli.options import (
    DURATION,
    campaign_arguments,
    data_option,
    memory_option,
    output_option,
    plugins_flag,
    runnable_campaign,
    workers_option,
)
from faultbench.cli.verbs.run import chosen_engine, resumable
from faultbench.plugins.registry import catalogue
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Kind, reporter

if TYPE_CHECKING:
    from faultbench.gate.judgement import Judgement

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("check")
@campaign_arguments
@click.option("--baseline", metavar="FILE", type=_FILE, help="What a run came to once; committed with the code.")
@click.option("--update-baseline", "updates", is_flag=True, help="Write the baseline instead of comparing with it.")
@click.option(
    "--max-drop",
    metavar="MARGIN",
    default="0.5pp",
    show_default=True,
    help="A mean accuracy may drop by so much where weights or environment changed: 0.5pp, or 0.005.",
)
@click.option(
    "--fail-if",
    metavar="LIMIT",
    multiple=True,
    help='Such as "accuracy_mean < 0.9 @ ber=1e-6": a column of cells.csv, and which cells; may be repeated.',
)
@click.option("--strict", "is_strict", is_flag=True, help="Fail where the trials are too few to tell.")
@click.option("--junit", metavar="FILE", type=_FILE, help="Also write the verdicts as JUnit XML.")
@plugins_flag
@output_option
@data_option
@click.option("--engine", type=click.Choice(list(catalogue("engine"))), default="local", show_default=True)
@workers_option
@memory_option
@click.option("--address", help="Of a running dask scheduler (tcp://…) or ray cluster; default: one of our own.")
@click.option("--time-limit", type=DURATION, help="Finish what is in flight after so long, and exit with 75.")
@click.option("--stall-limit", type=DURATION, help="End when nothing gets done for so long; default: 10m.")
@click.option("--fresh", is_flag=True, help="Put existing results aside and start anew.")
@click.option("--progress", type=click.Choice(["rich", "plain"]), help="Default: rich on a terminal.")
def command(
    file: Path,
    overrides: tuple[str, ...],
    baseline: Path | None,
    updates: bool,
    max_drop: str,
    fail_if: tuple[str, ...],
    is_strict: bool,
    junit: Path | None,
    with_plugins: bool,
    root: Path,
    engine: str,
    n_workers: int | None,
    memory_bytes: int | None,
    address: str | None,
    time_limit: float | None,
    stall_limit: float | None,
    fresh: bool,
    progress: Kind | None,
) -> int:
    """Run a campaign and fail if its networks survive faults worse than they did when the baseline was written.

    With the baseline's weights and environment every trial must come out as it did; where these changed, pairs of
    trials that met the same flips are tested. Exit code 1: something got worse, or changed without leave.
    """
    if baseline is None and (updates or not fail_if):
        raise FaultbenchError("check compares with a baseline: add --baseline FILE, or limits with --fail-if")
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)
    if baseline and any(subject.per_trial is not None for subject in campaign.subjects):
        raise FaultbenchError(
            f"{file}: images: a baseline holds trials over the same images; given {campaign.spec['images']}; "
            'give a number or "all"'
        )
    if baseline and any(subject.sampling != "plain" for subject in campaign.subjects):
        raise FaultbenchError(
            f"{file}: sampling: a baseline holds trials that meet the same flips; given "
            f"{campaign.spec['sampling']}; give plain"
        )
    shown = reporter(progress, is_terminal=sys.stderr.isatty())

    from faultbench.gate.judge import read_demands
    from faultbench.runner.check import Running, check, update
    from faultbench.runner.engines.supervisor import STALL_LIMIT_S
    from faultbench.runner.run_options import Terms
    from faultbench.system.devices import n_workers_on
    from faultbench.system.signals import Stop

    compared = None if updates else baseline
    demands = read_demands(campaign, baseline=compared, max_drop=max_drop, fail_if=fail_if, is_strict=is_strict)
    stop = Stop()
    how = Terms(stall_limit_s=stall_limit or STALL_LIMIT_S, stop=stop, memory_bytes=memory_bytes)
    with resumable(), stop.listening(time_limit):
        chosen = chosen_engine(engine, n_workers or n_workers_on(how.device), address)
        running = Running(root, chosen, shown, how, fresh, sys.argv)
        if updates and baseline:
            judgement = update(campaign, running, demands, baseline)
        else:
            judgement = check(campaign, running, demands)
    return _shown(judgement, junit)


def _shown(judgement: "Judgement", junit: Path | None) -> int:
    from faultbench.gate.github import add_summary, annotations
    from faultbench.gate.junit import write_junit
    from faultbench.gate.text import table_text

    click.echo(table_text(judgement), nl=False)
    for line in annotations(judgement):
        click.echo(line)
    add_summary(judgement)
    if junit:
        write_junit(judgement, junit)
    return judgement.exit_code
