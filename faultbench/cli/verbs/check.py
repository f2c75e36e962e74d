"""`faultbench check`: run a campaign as a gate of continuous integration."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.campaign import Campaign
from faultbench.campaign.input_files import refuse_overwriting
from faultbench.cli.execution_options import SessionOptions, campaign_options, engine_options, session_options
from faultbench.cli.option_types import OutputFile
from faultbench.cli.options import progress_option
from faultbench.cli.resuming import resumable
from faultbench.cli.verb import Section, takes, verb
from faultbench.cli.verbs.run import chosen_engine
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.destinations import is_stream
from faultbench.system.progress.reporter import Reporter
from faultbench.system.text_tables import UNLIMITED, terminal_width

if TYPE_CHECKING:
    from faultbench.gate.judge import Criteria
    from faultbench.gate.judgement import Judgement
    from faultbench.runner.run_options import RunOptions
    from faultbench.system.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class CheckCommand(SessionOptions):
    """Options of `faultbench check`."""

    baseline: Path | None
    updates: bool
    max_drop: str
    max_gain: str | None
    fail_if: tuple[str, ...]
    is_strict: bool
    junit: Path | None
    shown: Reporter


@verb("check", Section.CHECK)
@campaign_options
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Compare with this baseline file. Commit it with your code.",
)
@click.option("--update-baseline", "updates", is_flag=True, help="Write the baseline instead of comparing with it.")
@click.option(
    "--max-drop",
    metavar="MARGIN",
    default="0.5pp",
    show_default=True,
    help="Allow this drop of golden and mean accuracies, 0.5pp or 0.005, where weights or environment changed.",
)
@click.option(
    "--max-gain",
    metavar="GAIN",
    help="Assume that no memory gains more accuracy than this, such as 10pp: proves small drops with fewer trials.",
)
@click.option(
    "--fail-if",
    metavar="LIMIT",
    multiple=True,
    help='Fail if a column of cells.csv is beyond a limit, such as "accuracy_mean < 0.9 @ ber=1e-6". May be repeated.',
)
@click.option("--strict", "is_strict", is_flag=True, help="Fail if there are too few trials to decide.")
@click.option("--junit", metavar="FILE", type=OutputFile(), help="Write the verdicts as JUnit XML too.")
@engine_options
@session_options
@progress_option("rich", "plain")
@takes(CheckCommand)
def command(options: CheckCommand) -> int:
    """Fail if networks survive faults worse than a baseline says.

    Runs the campaign first. With the weights and environment of the baseline, each trial must give the recorded result.
    If these changed, trials that met the same flips are compared in pairs. Exit code 1: something got worse, or changed
    without leave.
    """
    baseline = options.baseline
    if baseline is None and (options.updates or not options.fail_if):
        raise FaultbenchError("check compares with a baseline: add --baseline FILE, or limits with --fail-if")
    campaign = options.campaign()
    _check_outputs(campaign, options)

    from faultbench.gate.judge import read_criteria

    criteria = read_criteria(
        campaign,
        baseline=None if options.updates else baseline,
        max_drop=options.max_drop,
        max_gain=options.max_gain,
        fail_if=options.fail_if,
        is_strict=options.is_strict,
    )
    return _shown(_judgement(campaign, options, criteria), options.junit)


def _judgement(campaign: Campaign, options: CheckCommand, criteria: "Criteria") -> "Judgement":
    """Run the campaign, and judge it or write the baseline."""
    from faultbench.runner.check import check_campaign, update_baseline
    from faultbench.runner.run_options import RunSetup
    from faultbench.system.devices import n_workers_on
    from faultbench.system.signals import StopRequest

    stop, n_workers = StopRequest(), options.n_workers
    terms = _terms(options, stop)
    with resumable(options.root / campaign.name, fresh=options.fresh), stop.listening(options.time_limit):
        engine = chosen_engine(options.engine, n_workers or n_workers_on(terms.device), options.address)
        setup = RunSetup(options.root, engine, options.shown, terms, options.fresh, sys.argv)
        if options.updates and options.baseline:
            return update_baseline(campaign, setup, criteria, options.baseline)
        return check_campaign(campaign, setup, criteria)


def _terms(options: CheckCommand, stop: "StopRequest") -> "RunOptions":
    from faultbench.runner.engines.supervisor import STALL_LIMIT_S
    from faultbench.runner.run_options import RunOptions

    return RunOptions(
        stall_limit_s=options.stall_limit or STALL_LIMIT_S,
        stop=stop,
        memory_bytes=options.memory_bytes,
        n_threads=options.n_workers,
    )


def _check_outputs(campaign: Campaign, options: CheckCommand) -> None:
    """Raise FaultbenchError before anything runs if an output would replace an input or another output."""
    folder = options.root / campaign.name
    if options.updates and options.baseline:
        is_stream(options.baseline)
        refuse_overwriting(options.baseline, "--baseline", campaign, folder)
    if options.junit:
        baselines = [options.baseline] if options.baseline else []
        refuse_overwriting(options.junit, "--junit", campaign, folder, *baselines)


def _shown(judgement: "Judgement", junit: Path | None) -> int:
    """Print the verdicts where people and CI systems look; return the exit code."""
    from faultbench.gate.github import add_summary, annotations
    from faultbench.gate.junit import write_junit
    from faultbench.gate.text import table_text

    click.echo(table_text(judgement, terminal_width() or UNLIMITED), nl=False)
    for line in annotations(judgement):
        click.echo(line)
    add_summary(judgement)
    if junit:
        write_junit(judgement, junit)
    return judgement.exit_code
