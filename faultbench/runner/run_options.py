"""Options of a run; no result depends on them, except for the last bits of another device."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faultbench.runner.engines.engine import Engine
from faultbench.runner.engines.supervisor import STALL_LIMIT_S
from faultbench.runner.tasks.shards import Shard
from faultbench.system.progress.reporter import Reporter
from faultbench.system.signals import StopRequest


@dataclass(frozen=True)
class RunOptions:
    """Options of a run; only the device changes results.

    limit is the most trials that each cell runs. memory_bytes is the most memory that each worker uses to keep golden
    runs; None is its share of the machine's memory.
    """

    limit: int | None = None
    shard: Shard = Shard()  # noqa: RUF009 - frozen
    retry_quarantined: bool = False
    stall_limit_s: float = STALL_LIMIT_S
    stop: StopRequest = field(default_factory=StopRequest)
    memory_bytes: int | None = None
    device: str = "cpu"
    """auto, cpu or cuda: where networks are trained, fitted and run. Rows of two devices differ in last bits."""
    paranoid: bool = False
    """Whether a sample of the trials is run a second time, whole, and compared bit for bit."""
    n_threads: int | None = None
    """Most threads that training and fitting use; None leaves it to the cores and OMP_NUM_THREADS."""


@dataclass(frozen=True)
class RunSetup:
    """Where and how a campaign is run; nothing here but the device in options changes a result."""

    root: Path
    """Folder in which each campaign has its results folder."""
    engine: Engine
    reporter: Reporter
    options: RunOptions = field(default_factory=RunOptions)
    fresh: bool = False
    """Whether an existing results folder is archived first."""
    command: Sequence[str] = ()
    """Command line that the manifest records."""
