"""Which trials are run together: cut, split, named for people, and shared out among shards."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from faultbench.campaign import Cell, Subject
from faultbench.results.folder import ber_text
from faultbench.results.journal.records import Golden
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.runner.tasks.worker import Chunk, Job, Opening

CHUNK_S = 1.0
"""Aimed time of a chunk: long against its dispatch, short against what a worker's death costs."""

MAX_CHUNK = 64


@dataclass(frozen=True)
class Shard:
    """The part of a campaign's work that is number's, of count parts, from 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"a shard is 1/n to n/n, not {self.number}/{self.count}")

    def owns(self, *key: object) -> bool:
        """Whether the work of this key falls to the shard; to exactly one of them, wherever it is asked."""
        text = "\x1f".join(map(str, key))
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") % self.count == self.number - 1

    @property
    def suffix(self) -> str:
        """What tells its files from those of the others; nothing when there is one part."""
        return f".shard-{self.number}-of-{self.count}" if self.count > 1 else ""


@dataclass(frozen=True)
class Prepared:
    """A subject whose golden run is done.

    trial_s is what a trial over all images is expected to take at each of its rates, trial_in_images what any trial
    takes beside its images, in images.
    """

    opening: Opening
    golden: Golden
    trial_s: Mapping[float, float]
    trial_in_images: float = 0.0
    hazards: Hazards | None = None
    strata: Mapping[float, Strata] = field(default_factory=dict)
    """By BER, where trials are drawn in strata."""
    paranoid: bool = False

    @property
    def subject(self) -> Subject:
        """Which it is."""
        return self.opening.subject


def jobs(cell: Cell, trials: Sequence[int], n_images: int | None = None) -> list[Job]:
    """These trials of a cell, each over so many images; None is all of them."""
    return [Job(cell.key, cell.ber, trial, n_images) for trial in trials]


def chunks(prepared: Prepared, wanted: Sequence[Job]) -> Iterator[Chunk]:
    """Jobs of a cell of the subject, cut so that a chunk takes about CHUNK_S."""
    for start in range(0, len(wanted), size := _size(prepared, wanted)):
        yield Chunk(
            **vars(prepared.opening),
            golden=prepared.golden,
            jobs=tuple(wanted[start : start + size]),
            hazards=prepared.hazards,
            strata=prepared.strata,
            paranoid=prepared.paranoid,
        )


def _size(prepared: Prepared, wanted: Sequence[Job]) -> int:
    trial_s = max((_trial_s(prepared, job) for job in wanted), default=0.0)
    return max(1, min(MAX_CHUNK, round(CHUNK_S / max(trial_s, 1e-6))))


def _trial_s(prepared: Prepared, job: Job) -> float:
    whole = prepared.trial_s[job.ber]
    if job.n_images is None:
        return whole
    return whole * (job.n_images + prepared.trial_in_images) / prepared.golden.n_images


def trials_by_cell(chunks: Iterable[Chunk]) -> Counter[str]:
    """How many trials of each cell the chunks hold."""
    return Counter(job.cell for chunk in chunks for job in chunk.jobs)


def split(task: Opening) -> list[Opening]:
    """A chunk for each trial; an opening has no parts."""
    return [replace(task, jobs=(job,)) for job in task.jobs] if isinstance(task, Chunk) else [task]


def named(task: Opening) -> str:
    """A chunk, or the golden run of a subject that is opened, as people know it."""
    subject = task.subject
    choices = (subject.dataset, subject.model, subject.scheme, subject.guard, subject.format, subject.fault)
    labels = "/".join(choice.label for choice in choices)
    if not isinstance(task, Chunk):
        return f"{labels} golden run"
    first, last = task.jobs[0], task.jobs[-1]
    trials = f"BER {ber_text(first.ber)} trial {first.trial}"
    if len(task.jobs) > 1:
        trials = f"{len(task.jobs)} trials, {trials} to BER {ber_text(last.ber)} trial {last.trial}"
    return f"{labels} {trials}"
