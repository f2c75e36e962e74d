"""Tasks that engines hand to workers, and what a golden run gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faultbench.campaign import Subject
from faultbench.results.journal.records import Golden
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.system.devices import Device
from faultbench.trials.trial import TrialJob


@dataclass(frozen=True, kw_only=True)
class GoldenRunTask:
    """A subject whose golden run a worker is to do, small enough to pickle: the worker finds the rest by key."""

    subject: Subject
    artifacts: Path
    memory_bytes: int
    """Memory that a worker may use to keep golden runs, all its subjects together."""
    bers: tuple[float, ...]
    """The subject's rates."""
    device: Device = "cpu"
    data: Path | None = None
    """Where the client looks for data sets, if a folder is set there; None leaves it to the worker's machine."""
    host: str = ""
    """The client's machine."""
    made_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Digests of what the subject's results are made of, by kind and key."""


@dataclass(frozen=True)
class GoldenRunResult:
    """Golden run of a subject, and the expected seconds of a trial over all images at each of its rates."""

    golden: Golden
    trial_s: Mapping[float, float]


@dataclass(frozen=True, kw_only=True)
class TrialChunk:
    """Trials of one subject, at some of its rates.

    golden_task says how a worker gets the subject ready, golden what its golden run must give.
    """

    golden_task: GoldenRunTask
    golden: Golden
    jobs: tuple[TrialJob, ...]
    hazards: Hazards | None = None
    strata: Mapping[float, Strata] = field(default_factory=dict)
    """Strata by BER, where trials are drawn in strata."""
    paranoid: bool = False
    """Whether a sample of the trials is run a second time, whole, and compared."""

    @property
    def subject(self) -> Subject:
        """Subject that the trials are of."""
        return self.golden_task.subject


Task = GoldenRunTask | TrialChunk
