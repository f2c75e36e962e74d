"""`faultbench run`: do what is missing of a campaign."""

import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faultbench.campaign import Campaign
from faultbench.cli.execution_options import (
    SessionOptions,
    TrialOptions,
    campaign_options,
    engine_options,
    session_options,
    trial_options,
)
from faultbench.cli.option_types import ShardNumber
from faultbench.cli.options import progress_option
from faultbench.cli.resuming import resumable, this_command
from faultbench.cli.verb import Section, takes, verb
from faultbench.plugins.registry import build, catalogue
from faultbench.system.errors import FaultbenchError, WorkersError
from faultbench.system.progress.reporter import Reporter

if TYPE_CHECKING:
    from faultbench.runner.run_options import RunOptions
    from faultbench.system.signals import StopRequest

QUARANTINED = 3
"""Exit code of a run that finished all trials except those that bring their workers down."""

N_NAMED = 20
"""Quarantined trials that `run` names; `status` names all of them."""


@dataclass(frozen=True, kw_only=True)
class RunCommand(SessionOptions, TrialOptions):
    """Options of `faultbench run`."""

    shard: tuple[int, int]
    shown: Reporter


@verb("run", Section.RUN)
@campaign_options
@engine_options
@session_options
@trial_options
@click.option(
    "--shard",
    metavar="I/N",
    type=ShardNumber(),
    default="1/1",
    show_default=True,
    help="Do part I of N parts of the work.",
)
@progress_option("rich", "plain", "json")
@takes(RunCommand)
def command(options: RunCommand) -> int:
    """Train networks, fit schemes and run trials, as far as missing.

    Networks with given weights are loaded instead. Run the same command again to resume.
    """
    campaign = _campaign(options)

    from faultbench.results.manifest_file import recorded_device
    from faultbench.runner.campaign_runner import run_campaign
    from faultbench.system.devices import n_workers_on, resolve_device
    from faultbench.system.signals import StopRequest

    folder, stop = options.root / campaign.name, StopRequest()
    device = resolve_device(options.device, None if options.fresh else recorded_device(folder))
    terms = _terms(options, stop, device)
    with resumable(folder, fresh=options.fresh):
        with stop.listening(options.time_limit):
            engine = chosen_engine(options.engine, options.n_workers or n_workers_on(device), options.address)
            try:
                run_campaign(
                    campaign, options.root, engine=engine, reporter=options.shown, options=terms,
                    fresh=options.fresh, command=sys.argv,
                )  # fmt: skip
            except WorkersError:
                _write_tables(folder)
                raise
        _show(folder)
    return _quarantined(folder, options.shown)


def _campaign(options: RunCommand) -> Campaign:
    """Read the campaign; raise FaultbenchError if it cannot be run in shards as the options ask."""
    is_part = options.shard[1] > 1
    if options.fresh and is_part:
        raise FaultbenchError(
            "--fresh with --shard: each shard would archive the results of the others; give one of them"
        )
    campaign = options.campaign()
    if campaign.rule.until and is_part:
        raise FaultbenchError(
            "--shard with trials.until: the end of a cell depends on all its trials; give one of them"
        )
    return campaign


def _terms(options: RunCommand, stop: "StopRequest", device: str) -> "RunOptions":
    from faultbench.runner.engines.supervisor import STALL_LIMIT_S
    from faultbench.runner.run_options import RunOptions
    from faultbench.runner.tasks.shards import Shard

    return RunOptions(
        limit=options.limit,
        shard=Shard(*options.shard),
        retry_quarantined=options.retry_quarantined,
        stall_limit_s=options.stall_limit or STALL_LIMIT_S,
        stop=stop,
        memory_bytes=options.memory_bytes,
        device=device,
        paranoid=options.paranoid,
        n_threads=options.n_workers,
    )


def chosen_engine(name: str, n_workers: int, address: str | None) -> Any:
    """Build the engine; raise FaultbenchError for an address that it cannot use."""
    options = {} if address is None else {"address": address}
    if options and "address" not in catalogue("engine")[name].options:
        raise FaultbenchError(f"--address {address}: the engine {name} has no address; give --engine dask or ray")
    return build("engine", name, options, n_workers=n_workers)


def _show(folder: Path) -> None:
    from faultbench.output.export.markdown import markdown
    from faultbench.output.export.table_files import write_tables
    from faultbench.results.analysis.results import read_results

    results = read_results(folder)
    write_tables(results, folder / "tables")
    click.echo(markdown(results))


def _write_tables(folder: Path) -> None:
    """Write the tables of the recorded trials if possible; the caller raises the run's own error next."""
    from faultbench.output.export.table_files import write_tables
    from faultbench.results.analysis.results import read_results

    with suppress(FaultbenchError, OSError):
        write_tables(read_results(folder), folder / "tables")


def _quarantined(folder: Path, shown: Reporter) -> int:
    """Report quarantined trials; return the exit code."""
    from faultbench.results.folder import read_folder

    names = read_folder(folder).quarantined_names
    for name in names[:N_NAMED]:
        shown.say(f"quarantined: {name}", "quarantine")
    if names:
        shown.say(
            f"{len(names)} trials are missing because they raise errors or bring down their workers; "
            f"to try them again: {_with_retry(this_command(is_begun=True))}",
            "quarantine",
        )
    return QUARANTINED if names else 0


def _with_retry(line: str) -> str:
    return line if "--retry-quarantined" in shlex.split(line) else f"{line} --retry-quarantined"
