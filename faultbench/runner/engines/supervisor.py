"""Tasks → an engine → results, whatever happens to the workers: the same rules for every engine.

At most a window of tasks is in flight. Tasks of one kin share what a worker makes ready for them, once if one worker
gets them: where the engine says who is next, each goes on with its own kin until that is done, what was added
meanwhile included, and then with one that nobody has. A task whose worker died runs again with no other on its worker,
so that a second death is its own; it is then split, and a part that keeps bringing its worker down is set aside. One
whose function raises is split at once.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from faultbench.runner.engines.engine import Died, Done, Engine, Event, Failed, next_worker
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.signals import Patience, Stop

T = TypeVar("T")
R = TypeVar("R")

MAX_DEATHS = 3
"""Deaths of workers, or errors, after which a task that cannot be split is set aside."""

MAX_IDLE_DEATHS = 30
"""Deaths and errors without any result, after which it is not the tasks that are to blame."""

STALL_LIMIT_S = 600.0
"""Seconds without any event after which the engine counts as stuck, unless told otherwise."""

POLL_S = 0.2

N_AHEAD = 2
"""Tasks in flight a worker: one runs, one waits, so that nobody idles while results are written down."""


@dataclass(frozen=True)
class Result(Generic[T, R]):
    """What the function gave for a task."""

    task: T
    value: R


@dataclass(frozen=True)
class SetAside(Generic[T]):
    """A task that cannot be split further and brought down so many workers, or raised so many times."""

    task: T
    n_deaths: int
    reason: str


@dataclass(frozen=True)
class _Attempt(Generic[T]):
    task: T
    n_deaths: int = 0
    worker: int | None = None
    """Where it flies; None where the engine does not say."""


class Supervisor(Generic[T, R]):
    """One run of tasks on an engine.

    split gives the parts of a task, itself alone when it has none; named is what people call it. told is called
    with a line for people. kin gives what a task shares with others of its kin; ready, by worker, is the kin that each
    was given last, and is kept up.
    """

    def __init__(
        self,
        engine: Engine,
        function: Callable[[T], R],
        *,
        split: Callable[[T], Sequence[T]],
        named: Callable[[T], str],
        stop: Stop,
        stall_limit_s: float = STALL_LIMIT_S,
        told: Callable[[str], None],
        kin: Callable[[T], Hashable] = lambda _: None,
        ready: dict[int, Hashable] | None = None,
    ) -> None:
        self._engine, self._function, self._stop = engine, function, stop
        self._split, self._named, self._told = split, named, told
        self._kin, self._ready = kin, {} if ready is None else ready
        self._waiting: dict[Hashable, deque[T]] = {}
        self._patience = Patience(stall_limit_s)
        self._flying: dict[int, _Attempt[T]] = {}
        self._suspects: deque[_Attempt[T]] = deque()
        self._doubtful: list[SetAside[T]] = []
        self._n_done = self._n_deaths = self._n_tickets = 0

    def run(self, tasks: Iterable[T]) -> Iterator[Result[T, R] | SetAside[T]]:
        """What became of each task and of those added meanwhile, in any order; of fewer when asked to stop.

        EngineError when nothing happens for the stall limit, or workers die and nothing gets done; a
        FaultbenchError of the function is passed on. With tasks left in flight the engine is closed.
        """
        self.add(tasks)
        try:
            with self._stop.deferring():
                self._patience.renew()
                self._fill()
                while self._flying:
                    for event in self._events():
                        yield from self._settled(event)
                    self._fill()
                yield from self._doubtful
        finally:
            if self._flying:
                self._engine.close()

    def add(self, tasks: Iterable[T]) -> None:
        """Have these run as well: for whoever holds what became of a task and knows what follows from it."""
        for task in tasks:
            self._waiting.setdefault(self._kin(task), deque()).append(task)

    def _fill(self) -> None:
        while not self._stop.requested and len(self._flying) < self._room():
            worker = next_worker(self._engine)
            attempt = self._suspects.popleft() if self._suspects else self._fresh(worker)
            if attempt is None:
                return
            if worker is not None:
                self._ready[worker] = self._kin(attempt.task)
            self._flying[self._n_tickets] = replace(attempt, worker=worker)
            self._engine.submit(self._n_tickets, self._function, attempt.task)
            self._n_tickets += 1

    def _fresh(self, worker: int | None) -> _Attempt[T] | None:
        if not self._waiting:
            return None
        kin = self._next_kin(worker)
        if worker in self._ready and kin != self._ready[worker] and self._is_busy(worker):
            return None  # what it works on may bring more of its own kin
        task = self._waiting[kin].popleft()
        if not self._waiting[kin]:
            del self._waiting[kin]
        return _Attempt(task)

    def _next_kin(self, worker: int | None) -> Hashable:
        """What the worker has ready, else what nobody has, else that of which most is waiting."""
        if worker in self._ready and self._ready[worker] in self._waiting:
            return self._ready[worker]
        nobodys = (kin for kin in self._waiting if kin not in self._ready.values())
        return next(nobodys, max(self._waiting, key=lambda kin: len(self._waiting[kin])))

    def _is_busy(self, worker: int | None) -> bool:
        return any(attempt.worker == worker for attempt in self._flying.values())

    def _room(self) -> int:
        if self._suspects or any(attempt.n_deaths for attempt in self._flying.values()):
            return self._engine.n_alone
        return N_AHEAD * self._engine.n_workers

    def _events(self) -> Sequence[Event]:
        was_asked = self._stop.requested
        events = self._engine.wait(POLL_S)
        if self._stop.requested and not was_asked and self._flying:
            self._told(f"{self._stop.error}; finishing what is in flight, Ctrl-C stops at once")
        if events:
            self._patience.renew()
        elif self._patience.is_over:
            tasks = ", ".join(self._named(attempt.task) for attempt in self._flying.values())
            raise EngineError(f"no worker got anything done for {self._patience.limit_s:g} s; in flight: {tasks}")
        return events

    def _settled(self, event: Event) -> Iterator[Result[T, R] | SetAside[T]]:
        attempt = self._flying.pop(event.ticket)
        match event:
            case Done():
                self._n_done += 1
                yield Result(attempt.task, event.result)
                yield from self._doubtful
                self._doubtful.clear()
            case Failed(error=FaultbenchError() as error):
                raise error
            case Failed():
                self._blame(attempt, 1, _words(event.error), is_known=True)
            case Died():
                self._blame(attempt, event.n_deaths, event.reason, is_known=attempt.n_deaths > 0)

    def _blame(self, attempt: _Attempt[T], n_deaths: int, reason: str, *, is_known: bool) -> None:
        """Decide what to do with a task that went wrong; is_known when nothing but the task can have done it."""
        self._n_deaths += n_deaths
        self._told(f"{self._named(attempt.task)}: {reason}")
        if self._n_deaths >= MAX_IDLE_DEATHS and not self._n_done:
            raise EngineError(f"workers failed {self._n_deaths} times and nothing got done; the last time: {reason}")
        n_deaths += attempt.n_deaths
        parts = self._split(attempt.task) if is_known else [attempt.task]
        if is_known and len(parts) == 1 and n_deaths >= MAX_DEATHS:
            # Held back until the first result: where nothing works at all, the task is not to blame.
            self._doubtful.append(SetAside(attempt.task, n_deaths, reason))
        else:
            # What went down with a chunk is a part's own doing once at most.
            self._suspects.extend(_Attempt(part, n_deaths if len(parts) == 1 else 1) for part in parts)


def _words(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
