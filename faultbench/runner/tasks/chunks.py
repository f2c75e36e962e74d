"""Chunks of trials: how many trials run together, how a chunk is split, and what people call it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from faultbench.campaign import Cell, Subject
from faultbench.results.folder import ber_text
from faultbench.results.journal.records import Golden
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.runner.tasks.tasks import GoldenRunTask, Task, TrialChunk
from faultbench.trials.trial import TrialJob

CHUNK_S = 1.0
"""Seconds that a chunk should take: long against its dispatch, short against what a worker's death costs."""

MAX_CHUNK = 64
"""Most trials of a chunk."""


@dataclass(frozen=True)
class ReadySubject:
    """A subject whose golden run is done.

    trial_s is the expected time of a trial over all images at each of its rates; overhead_images is what any trial
    costs beside its images, counted in images.
    """

    golden_task: GoldenRunTask
    golden: Golden
    trial_s: Mapping[float, float]
    overhead_images: float = 0.0
    hazards: Hazards | None = None
    strata: Mapping[float, Strata] = field(default_factory=dict)
    """Strata by BER, where trials are drawn in strata."""
    paranoid: bool = False
    """Whether a sample of the trials is run a second time, whole, and compared."""

    @property
    def subject(self) -> Subject:
        """Subject that is ready."""
        return self.golden_task.subject


def trial_jobs(cell: Cell, trials: Sequence[int], n_images: int | None = None) -> list[TrialJob]:
    """Return a job for each trial number of a cell; each looks at n_images images, None is all of them."""
    return [TrialJob(cell.key, cell.ber, trial, n_images) for trial in trials]


def cut_chunks(ready: ReadySubject, jobs: Sequence[TrialJob]) -> Iterator[TrialChunk]:
    """Yield the jobs of one cell of the subject in chunks that take about `CHUNK_S` each."""
    for start in range(0, len(jobs), size := _chunk_size(ready, jobs)):
        yield TrialChunk(
            golden_task=ready.golden_task,
            golden=ready.golden,
            jobs=tuple(jobs[start : start + size]),
            hazards=ready.hazards,
            strata=ready.strata,
            paranoid=ready.paranoid,
        )


def _chunk_size(ready: ReadySubject, jobs: Sequence[TrialJob]) -> int:
    trial_s = max((_trial_s(ready, job) for job in jobs), default=0.0)
    return max(1, min(MAX_CHUNK, round(CHUNK_S / max(trial_s, 1e-6))))


def _trial_s(ready: ReadySubject, job: TrialJob) -> float:
    whole_s = ready.trial_s[job.ber]
    if job.n_images is None:
        return whole_s
    return whole_s * (job.n_images + ready.overhead_images) / ready.golden.n_images


def trials_by_cell(chunks: Iterable[TrialChunk]) -> Counter[str]:
    """Return the number of trials that the chunks hold of each cell."""
    return Counter(job.cell for chunk in chunks for job in chunk.jobs)


def split_task(task: Task) -> list[Task]:
    """Return a chunk for each trial of a chunk; a golden run cannot be split and is returned alone."""
    return [replace(task, jobs=(job,)) for job in task.jobs] if isinstance(task, TrialChunk) else [task]


def task_title(task: Task) -> str:
    """Return what messages call a chunk, or the golden run of a subject."""
    subject = task.subject
    choices = (subject.dataset, subject.model, subject.scheme, subject.guard, subject.format, subject.fault)
    labels = "/".join(choice.label for choice in choices)
    if not isinstance(task, TrialChunk):
        return f"{labels} golden run"
    first, last = task.jobs[0], task.jobs[-1]
    trials = f"BER {ber_text(first.ber)} trial {first.trial}"
    if len(task.jobs) > 1:
        trials = f"{len(task.jobs)} trials, {trials} to BER {ber_text(last.ber)} trial {last.trial}"
    return f"{labels} {trials}"
