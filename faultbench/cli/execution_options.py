"""Options that say how a campaign is run, for `run`, `check` and `slurm`, and the objects that hold them."""

from dataclasses import dataclass
from pathlib import Path

import click

from faultbench.campaign import Campaign
from faultbench.cli.option_types import Duration
from faultbench.cli.options import (
    campaign_arguments,
    data_option,
    in_order,
    output_option,
    runnable_campaign,
    trust_option,
)
from faultbench.plugins.registry import catalogue
from faultbench.system.errors import FaultbenchError
from faultbench.system.memory_budget import MOST_WORKERS, parse_bytes


@dataclass(frozen=True, kw_only=True)
class CampaignOptions:
    """Options of every verb that needs a campaign and its results folder."""

    file: Path
    overrides: tuple[str, ...]
    with_plugins: bool
    root: Path

    def campaign(self) -> Campaign:
        """Read the campaign; raise FaultbenchError if it names plug-ins that are not trusted."""
        return runnable_campaign(self.file, self.overrides, with_plugins=self.with_plugins)


@dataclass(frozen=True, kw_only=True)
class EngineOptions(CampaignOptions):
    """Options that say which processes run the trials; `run`, `check` and the jobs of `slurm` have them."""

    engine: str
    n_workers: int | None
    memory_bytes: int | None
    stall_limit: float | None


@dataclass(frozen=True, kw_only=True)
class SessionOptions(EngineOptions):
    """Options of a run that starts now, on this machine or on a cluster that is running."""

    address: str | None
    time_limit: float | None
    fresh: bool


@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """Options that say which trials are run, and where networks live."""

    device: str
    limit: int | None
    paranoid: bool
    retry_quarantined: bool


def _bytes(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_bytes(text)
    except ValueError as error:
        raise FaultbenchError(f"--memory: {error}") from error


campaign_options = in_order(campaign_arguments, trust_option, output_option, data_option)
"""Decorator that adds the options of `CampaignOptions`, and `--data-dir`."""


engine_options = in_order(
    click.option(
        "--engine",
        type=click.Choice(list(catalogue("engine"))),
        default="local",
        show_default=True,
        help="Run trials in this process, on this machine, or on a Dask or Ray cluster.",
    ),
    click.option(
        "--workers",
        "n_workers",
        metavar="N",
        type=click.IntRange(1, MOST_WORKERS),
        help="Start N worker processes. [default: one per core, two on a CUDA card]",
    ),
    click.option(
        "--memory",
        "memory_bytes",
        metavar="SIZE",
        callback=_bytes,
        help="Let each worker keep SIZE of golden runs, such as 2G. It changes speed, never a result. "
        "[default: an equal share of a quarter of the memory, at most 2G]",
    ),
    click.option(
        "--stall-limit",
        metavar="TIME",
        type=Duration(),
        help="Stop if no work is finished for this long. [default: 10m]",
    ),
)
"""Decorator that adds the options that `EngineOptions` has beyond `CampaignOptions`."""


session_options = in_order(
    click.option(
        "--address",
        help="Use the running Dask scheduler (tcp://host:port) or Ray cluster at this address. "
        "[default: start one on this machine]",
    ),
    click.option(
        "--time-limit",
        metavar="TIME",
        type=Duration(),
        help="Start no new work after TIME, such as 55m. Finish what is running, and exit with code 75.",
    ),
    click.option("--fresh", is_flag=True, help="Archive existing results and start again."),
)
"""Decorator that adds the options that `SessionOptions` has beyond `EngineOptions`."""


trial_options = in_order(
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Run networks on this device. auto takes the device of earlier results, or a CUDA card if there is one.",
    ),
    click.option(
        "--limit",
        metavar="N",
        type=click.IntRange(1, 10**9),
        help="Run at most N trials per cell. The cells are marked LIMITED.",
    ),
    click.option(
        "--paranoid",
        is_flag=True,
        help="Run one trial in 20 a second time, through the whole network, and compare all bits.",
    ),
    click.option("--retry-quarantined", is_flag=True, help="Try quarantined trials again."),
)
"""Decorator that adds the options of `TrialOptions`."""
