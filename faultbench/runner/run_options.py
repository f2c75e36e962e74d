"""How a run goes about a campaign, of which no result depends but for the device's last bits."""

from dataclasses import dataclass, field

from faultbench.runner.engines.supervisor import STALL_LIMIT_S
from faultbench.runner.tasks.chunks import Shard
from faultbench.system.signals import Stop


@dataclass(frozen=True)
class Terms:
    """How a run goes about a campaign; nothing here but the device changes a result.

    limit ends every cell at so many trials. Each worker keeps at most memory_bytes of golden runs, None for its
    share of the machine's memory.
    """

    limit: int | None = None
    shard: Shard = Shard()  # noqa: RUF009 - frozen
    retry_quarantined: bool = False
    stall_limit_s: float = STALL_LIMIT_S
    stop: Stop = field(default_factory=Stop)
    memory_bytes: int | None = None
    device: str = "cpu"
    """auto, cpu or cuda: where networks are trained, fitted and run. Rows of two devices differ in last bits."""
    paranoid: bool = False
    """Whether a sample of the trials is run a second time, whole, and compared bit for bit."""
