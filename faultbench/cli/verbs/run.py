"""`faultbench run`: do what is missing of a campaign."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from faultbench.cli.options import (
    DURATION,
    SHARD,
    campaign_arguments,
    data_option,
    memory_option,
    output_option,
    plugins_flag,
    progress_option,
    runnable_campaign,
    workers_option,
)
from faultbench.plugins.registry import build, catalogue
from faultbench.system.errors import EngineError, FaultbenchError, Interrupted, OutOfTime
from faultbench.system.progress.reporter import Reporter

QUARANTINED = 3
"""Exit code of a run that finished but for trials that bring their workers down."""

N_NAMED = 20
"""Quarantined trials that are named; `status` names them all."""


def _trial_options(verb: Any) -> Any:
    for option in (
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            help="Where networks run; auto: as the results before, else on a CUDA card if there is one.",
        ),
        click.option(
            "--paranoid", is_flag=True, help="Run one trial in 20 a second time, whole, and compare all bits."
        ),
        click.option("--retry-quarantined", is_flag=True, help="Give trials that were given up another chance."),
        click.option("--stall-limit", type=DURATION, help="End when nothing gets done for so long; default: 10m."),
        click.option("--time-limit", type=DURATION, help="Finish what is in flight after so long, and exit with 75."),
        click.option("--shard", metavar="I/N", type=SHARD, default="1/1", help="Do the I-th of N parts of the work."),
        click.option("--limit", type=click.IntRange(min=1), help="At most so many trials a cell; marked LIMITED."),
    ):
        verb = option(verb)
    return verb


@click.command("run")
@campaign_arguments
@plugins_flag
@output_option
@data_option
@click.option("--engine", type=click.Choice(list(catalogue("engine"))), default="local", show_default=True)
@workers_option
@memory_option
@click.option("--address", help="Of a running dask scheduler (tcp://…) or ray cluster; default: one of our own.")
@_trial_options
@click.option("--fresh", is_flag=True, help="Put existing results aside and start anew.")
@progress_option
def command(
    file: Path,
    overrides: tuple[str, ...],
    with_plugins: bool,
    root: Path,
    engine: str,
    n_workers: int | None,
    memory_bytes: int | None,
    address: str | None,
    limit: int | None,
    shard: tuple[int, int],
    time_limit: float | None,
    stall_limit: float | None,
    retry_quarantined: bool,
    device: str,
    paranoid: bool,
    fresh: bool,
    shown: Reporter,
) -> int:
    """Train or load networks, fit schemes, run trials: whatever is missing. Running it again resumes."""
    if fresh and shard[1] > 1:
        raise FaultbenchError("--fresh with --shard: every shard would put the others' results aside; give one of them")
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)
    if campaign.rule.until and shard[1] > 1:
        raise FaultbenchError("--shard with trials.until: where a cell ends hangs on all its trials; give one of them")

    from faultbench.results.manifest_file import recorded_device
    from faultbench.runner.campaign_runner import run
    from faultbench.runner.engines.supervisor import STALL_LIMIT_S
    from faultbench.runner.run_options import Terms
    from faultbench.runner.tasks.chunks import Shard
    from faultbench.system.devices import chosen as chosen_device
    from faultbench.system.devices import n_workers_on
    from faultbench.system.signals import Stop

    stop, there = Stop(), chosen_device(device, None if fresh else recorded_device(root / campaign.name))
    patience_s = stall_limit or STALL_LIMIT_S
    terms = Terms(limit, Shard(*shard), retry_quarantined, patience_s, stop, memory_bytes, there, paranoid)
    with resumable(), stop.listening(time_limit):
        chosen = chosen_engine(engine, n_workers or n_workers_on(there), address)
        folder = run(campaign, root, engine=chosen, reporter=shown, terms=terms, fresh=fresh, command=sys.argv)
    _show(folder)
    return _quarantined(folder, shown)


def chosen_engine(name: str, n_workers: int, address: str | None) -> Any:
    options = {} if address is None else {"address": address}
    if options and "address" not in catalogue("engine")[name].options:
        raise FaultbenchError(f"--address {address}: the engine {name} has no address; give --engine dask or ray")
    return build("engine", name, options, n_workers=n_workers)


@contextmanager
def resumable() -> Iterator[None]:
    """Say how to go on after what is not the user's mistake."""
    from faultbench.system.signals import Halt

    try:
        yield
    except Halt as halt:
        raise type(halt.error)(f"{halt.error}; to go on: {_this_command()}") from halt
    except (EngineError, OutOfTime, Interrupted) as error:
        raise type(error)(f"{error}; to go on: {_this_command()}") from error


def _this_command() -> str:
    program, *arguments = sys.argv
    if Path(program).name == "__main__.py":
        return shlex.join([sys.executable, "-m", "faultbench", *arguments])
    return shlex.join(sys.argv)


def _show(folder: Path) -> None:
    from faultbench.output.export.markdown import markdown
    from faultbench.results.analysis.results import read_results, write_tables

    results = read_results(folder)
    write_tables(results, folder / "tables")
    click.echo(markdown(results))


def _quarantined(folder: Path, shown: Reporter) -> int:
    from faultbench.results.folder import read_folder

    names = read_folder(folder).quarantined_names
    for name in names[:N_NAMED]:
        shown.say(f"quarantined: {name}", "quarantine")
    if names:
        shown.say(
            f"{len(names)} trials are missing because they raise errors or bring down their workers; "
            f"to try them again: {_this_command()} --retry-quarantined",
            "quarantine",
        )
    return QUARANTINED if names else 0
