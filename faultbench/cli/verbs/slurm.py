"""`faultbench slurm`: print a batch script that runs a campaign as an array of shards."""

import math
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from faultbench.campaign import Campaign
from faultbench.cli.execution_options import (
    EngineOptions,
    TrialOptions,
    campaign_options,
    engine_options,
    trial_options,
)
from faultbench.cli.option_types import BatchWord, FiniteRange, PrintableLine
from faultbench.cli.options import in_order, is_allowed_outside
from faultbench.cli.verb import Section, takes, verb
from faultbench.runner.tasks.shards import MOST_SHARDS
from faultbench.system.errors import FaultbenchError
from faultbench.system.memory_budget import MOST_WORKERS

USED_SHARE = 0.7
"""Share of a job's time that trials can use: workers take time to start, and the work is an estimate."""

MARGIN_S = 300
"""Seconds before the end of a job at which it stops, so that running chunks of trials can finish."""

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=faultbench-{name}
#SBATCH --array=1-{n_shards}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={n_cpus}
#SBATCH --time={minutes}
#SBATCH --signal=B:USR1@{margin_s}
#SBATCH --output=faultbench-{name}-%A_%a.log
{lines}
# {n_missing:,} trials missing, about {core_hours:.3g} core hours here.
# All shards write to one results folder, which all nodes must see. Submit this file again, unchanged, until
# `faultbench status` says 0 missing. If the nodes share no disk, give each shard its own -o and join the results
# with `faultbench merge`.
{setup}exec {command} --shard "$SLURM_ARRAY_TASK_ID/{n_shards}" --workers {workers} --time-limit {limit_s}s
"""


@dataclass(frozen=True, kw_only=True)
class SlurmCommand(EngineOptions, TrialOptions):
    """Options of `faultbench slurm`."""

    hours: float
    n_cpus: int
    partition: str | None
    account: str | None
    mem: str | None
    sbatch: tuple[str, ...]
    setup: tuple[str, ...]


_job_options = in_order(
    click.option(
        "--hours",
        metavar="HOURS",
        type=FiniteRange(min=0.25, max=8784),
        default=4,
        show_default=True,
        help="Give each job this much time.",
    ),
    click.option(
        "--cpus",
        "n_cpus",
        metavar="N",
        type=click.IntRange(1, MOST_WORKERS),
        default=8,
        show_default=True,
        help="Give each job N cores.",
    ),
    click.option("--partition", type=BatchWord(), help="Run the jobs in this partition."),
    click.option("--account", type=BatchWord(), help="Charge the jobs to this account."),
    click.option("--mem", type=BatchWord(), help="Give each job this much memory, such as 16G."),
    click.option(
        "--sbatch",
        type=BatchWord(),
        multiple=True,
        help="Add another option of sbatch, such as --sbatch=--gres=gpu:1. May be repeated.",
    ),
    click.option("--setup", type=PrintableLine(), multiple=True, help="Run this shell line first. May be repeated."),
)
"""Decorator that adds the options for lines of the script that are no options of `run`."""


@verb("slurm", Section.RUN)
@campaign_options
@engine_options
@trial_options
@_job_options
@takes(SlurmCommand)
def command(options: SlurmCommand) -> None:
    """Print an sbatch script that runs a campaign as an array of jobs.

    The script does what is missing, with as many shards as that takes. The jobs run `faultbench run` with the options
    of this command line.
    """
    campaign = options.campaign()
    n_missing, total_s = _work(campaign, options.root / campaign.name)
    n_shards = _n_shards(campaign, total_s, hours=options.hours, n_cpus=options.n_cpus)
    click.echo(_script(campaign, options, n_shards=n_shards, n_missing=n_missing, total_s=total_s), nl=False)


def _script(campaign: Campaign, options: SlurmCommand, *, n_shards: int, n_missing: int, total_s: float) -> str:
    return _SCRIPT.format(
        name=campaign.name,
        n_shards=n_shards,
        n_cpus=options.n_cpus,
        minutes=round(60 * options.hours),
        margin_s=MARGIN_S,
        limit_s=round(3600 * options.hours) - MARGIN_S,
        lines=_sbatch_lines(options),
        n_missing=n_missing,
        core_hours=total_s / 3600,
        setup="".join(f"{line}\n" for line in options.setup),
        command=shlex.join(_run_words(campaign, options)),
        workers='"$SLURM_CPUS_PER_TASK"' if options.n_workers is None else options.n_workers,
    )


def _work(campaign: Campaign, folder: Path) -> tuple[int, float]:
    """Return the number of missing trials, and the seconds that the missing work takes on one core here."""
    from faultbench.results.journal.contents import Asked, read_journal
    from faultbench.results.manifest_file import check_same_campaign
    from faultbench.runner.cost_estimate import estimate_cost
    from faultbench.runner.subjects.artifacts import ArtifactStore
    from faultbench.runner.subjects.components import check_components

    parts = check_components(campaign)
    check_same_campaign(folder, campaign)
    price = estimate_cost(
        campaign, parts, read_journal(folder / "journal", Asked.by(campaign)), ArtifactStore(folder / "artifacts")
    )
    return sum(price.n_missing.values()), price.total_s


def _n_shards(campaign: Campaign, total_s: float, *, hours: float, n_cpus: int) -> int:
    """Return how many jobs of this size do all the work; raise FaultbenchError if `run` takes fewer shards."""
    if campaign.rule.until:
        return 1  # the end of a cell depends on all its trials, so `run` takes no shards
    n_shards = max(1, math.ceil(total_s / (USED_SHARE * 3600 * hours * n_cpus)))
    if n_shards > MOST_SHARDS:
        raise FaultbenchError(
            f"{campaign.source}: {n_shards:,} jobs of {hours:g} hours on {n_cpus:,} cores, but a campaign is divided "
            f"into {MOST_SHARDS:,} at most; give more --hours or --cpus, or ask for fewer trials"
        )
    return n_shards


def _sbatch_lines(options: SlurmCommand) -> str:
    for option in options.sbatch:
        if not re.match(r"--[a-z]", option):
            raise FaultbenchError(f"--sbatch {option}: must be a long option of sbatch; write --sbatch=--qos=short")
    values = {"partition": options.partition, "account": options.account, "mem": options.mem}
    named = [f"--{name}={value}" for name, value in values.items() if value is not None]
    return "".join(f"#SBATCH {option}\n" for option in (*named, *options.sbatch))


def _run_words(campaign: Campaign, options: SlurmCommand) -> list[str]:
    """Return the words of the command that each job runs; options with default values are left out."""
    words = ["faultbench", "run", str(options.file.absolute()), "-o", str(options.root.absolute())]
    words += [word for assignment in options.overrides for word in ("-s", assignment)]
    flags = {
        "--trust-plugins": bool(campaign.plugins) and options.with_plugins,
        "--allow-outside": is_allowed_outside(),
        "--paranoid": options.paranoid,
        "--retry-quarantined": options.retry_quarantined,
    }
    words += [flag for flag, is_set in flags.items() if is_set]
    return words + [
        word for name, value in _values(options).items() if value is not None for word in (name, str(value))
    ]


def _values(options: SlurmCommand) -> dict[str, Any]:
    data = os.environ.get("FAULTBENCH_DATA")
    return {
        "--data-dir": str(Path(data).expanduser().absolute()) if data else None,
        "--engine": options.engine if options.engine != "local" else None,
        "--device": options.device if options.device != "auto" else None,
        "--memory": options.memory_bytes,
        "--stall-limit": None if options.stall_limit is None else f"{round(options.stall_limit)}s",
        "--limit": options.limit,
    }
