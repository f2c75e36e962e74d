"""`faultbench slurm`: a batch script that runs a campaign as an array of shards."""

import math
import shlex
from pathlib import Path

import click

from faultbench.campaign import Campaign
from faultbench.cli.options import campaign_arguments, output_option, plugins_flag, runnable_campaign

USED_SHARE = 0.7
"""Of a job's time that is counted on: workers start, and the estimate is one."""

MARGIN_S = 300
"""A job stops this long before its time is over, so that chunks in flight can finish."""

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=faultbench-{name}
#SBATCH --array=1-{n_shards}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={n_cpus}
#SBATCH --time={minutes}
#SBATCH --signal=B:USR1@{margin_s}
#SBATCH --output=faultbench-{name}-%A_%a.log

# {n_missing:,} trials missing, about {core_hours:.3g} core hours here.
# All shards write to one results folder, which all nodes must see. Submit this file again, unchanged, until
# `faultbench status` says 0 missing. If the nodes share no disk, give each shard an -o of its own and put the
# results together with `faultbench merge`.
exec {command} --shard "$SLURM_ARRAY_TASK_ID/{n_shards}" --workers "$SLURM_CPUS_PER_TASK" --time-limit {limit_s}s
"""


@click.command("slurm")
@campaign_arguments
@plugins_flag
@output_option
@click.option("--hours", type=click.FloatRange(min=0.25, max=8784), default=4, show_default=True, help="Of each job.")
@click.option("--cpus", "n_cpus", type=click.IntRange(min=1), default=8, show_default=True, help="Cores of each job.")
def command(file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path, hours: float, n_cpus: int) -> None:
    """Print an sbatch script that does what is missing of a campaign, with as many shards as that takes."""
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)

    from faultbench.results.journal.journal import read_journal
    from faultbench.results.manifest_file import check_same_campaign
    from faultbench.runner.cost_estimate import price
    from faultbench.runner.subjects.artifacts import ArtifactStore
    from faultbench.runner.subjects.components import check

    folder = root / campaign.name
    parts = check(campaign)
    check_same_campaign(folder, campaign)
    found = price(campaign, parts, read_journal(folder / "journal"), ArtifactStore(folder / "artifacts"))
    n_shards = max(1, math.ceil(found.total_s / (USED_SHARE * 3600 * hours * n_cpus)))
    click.echo(
        _SCRIPT.format(
            name=campaign.name,
            n_shards=n_shards,
            n_cpus=n_cpus,
            hours=hours,
            minutes=round(60 * hours),
            margin_s=MARGIN_S,
            limit_s=round(3600 * hours) - MARGIN_S,
            n_missing=sum(found.n_missing.values()),
            core_hours=found.total_s / 3600,
            command=_run_command(campaign, file, overrides, root, with_plugins=with_plugins),
        ),
        nl=False,
    )


def _run_command(campaign: Campaign, file: Path, overrides: tuple[str, ...], root: Path, *, with_plugins: bool) -> str:
    options = [part for assignment in overrides for part in ("-s", assignment)]
    options += ["--plugins"] if campaign.plugins and with_plugins else []
    return shlex.join(["faultbench", "run", str(file.absolute()), "-o", str(root.absolute()), *options])
