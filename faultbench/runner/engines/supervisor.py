"""Supervisor: sends tasks to an engine, returns results, and handles dead workers alike for every engine.

A limited number of tasks is in flight. Tasks of one group share what a worker prepares for them, so a group should stay
on one worker. If the engine says which worker is next, that worker goes on with its group until no task of it waits,
and then takes a group that no worker has. A task whose worker died runs again, alone on its worker, so that a second
death is its own. It is then split, and a part whose workers keep dying is set aside. A task whose function raises is
split at once.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from faultbench.runner.engines.engine import Died, Done, Engine, Event, Failed, connect, lacks_workers, next_worker
from faultbench.runner.engines.stall_timer import StallTimer
from faultbench.runner.engines.waiting_tasks import WaitingTasks
from faultbench.system.errors import FaultbenchError, WorkersError
from faultbench.system.signals import StopRequest

T = TypeVar("T")
R = TypeVar("R")

MAX_DEATHS = 3
"""Deaths of workers or errors after which a task that cannot be split is set aside."""

MAX_IDLE_DEATHS = 30
"""Deaths and errors without any result after which the run ends, because the tasks are not to blame."""

STALL_LIMIT_S = 600.0
"""Default of the seconds without any event after which the engine counts as stuck."""

POLL_S = 0.2
"""Seconds that one wait for events takes at most."""

N_AHEAD = 2
"""Tasks in flight per worker: one runs and one waits, so that no worker idles while results are written."""


@dataclass(frozen=True)
class Result(Generic[T, R]):
    """Value that the function returned for a task."""

    task: T
    value: R


@dataclass(frozen=True)
class SetAside(Generic[T]):
    """A task that cannot be split further, and the number of times that its worker died or it raised."""

    task: T
    n_deaths: int
    reason: str


@dataclass(frozen=True)
class _Attempt(Generic[T]):
    task: T
    n_deaths: int = 0
    worker: int | None = None
    """Number of the worker that has the task; None if the engine does not say."""


@dataclass(frozen=True, kw_only=True)
class SupervisorOptions(Generic[T]):
    """Rules and callbacks of a supervisor."""

    split: Callable[[T], Sequence[T]]
    """Return the parts of a task; a task without parts is returned alone."""
    title_of: Callable[[T], str]
    """Return what messages call a task."""
    group_of: Callable[[T], Hashable] = lambda _: None
    """Return the group of a task: what a worker prepares for one task serves all of the group."""
    last_groups: dict[int, Hashable] = field(default_factory=dict)
    """By worker, the group of the last task that it was given; the supervisor updates it."""
    stop: StopRequest = field(default_factory=StopRequest)
    stall_limit_s: float = STALL_LIMIT_S
    on_message: Callable[[str], None]
    """Is called with each line for people."""
    on_wait: Callable[[], None] = lambda: None
    """Is called before each wait for workers; an error that it raises ends the run."""


class Supervisor(Generic[T, R]):
    """One run of tasks on an engine."""

    def __init__(self, engine: Engine, function: Callable[[T], R], options: SupervisorOptions[T]) -> None:
        self._engine, self._function, self._options = engine, function, options
        self._stop = options.stop
        self._waiting = WaitingTasks(options.group_of, options.last_groups)
        self._stall_timer = StallTimer(options.stall_limit_s)
        self._in_flight: dict[int, _Attempt[T]] = {}
        self._suspects: deque[_Attempt[T]] = deque()
        self._held_back: list[SetAside[T]] = []
        self._n_done = self._n_deaths = self._n_tickets = 0
        self._has_warned = False
        """Whether a message has said that no worker is there."""

    def run(self, tasks: Iterable[T]) -> Iterator[Result[T, R] | SetAside[T]]:
        """Yield the end of each task, also of those added meanwhile, in any order; of fewer when asked to stop.

        WorkersError if nothing happens for the stall limit, or if workers die and nothing gets done. A FaultbenchError
        of the function is passed on. If tasks are left in flight, the engine is closed.
        """
        self.add(tasks)
        if self._waiting:
            connect(self._engine)
        try:
            with self._stop.deferring():
                yield from self._ends()
        finally:
            if self._in_flight:
                self._engine.close()

    def _ends(self) -> Iterator[Result[T, R] | SetAside[T]]:
        self._stall_timer.renew()
        self._fill()
        while self._in_flight and not (self._stop.requested and lacks_workers(self._engine)):
            for event in self._events():
                yield from self._handle(event)
            self._fill()
        yield from self._held_back

    def add(self, tasks: Iterable[T]) -> None:
        """Run these tasks as well; a caller of `run` adds those that follow from a result."""
        self._waiting.add(tasks)

    def _fill(self) -> None:
        while not self._stop.requested and len(self._in_flight) < self._room():
            worker = next_worker(self._engine)
            attempt = self._suspects.popleft() if self._suspects else self._next_attempt(worker)
            if attempt is None:
                return
            self._waiting.note_group(worker, attempt.task)
            self._in_flight[self._n_tickets] = replace(attempt, worker=worker)
            self._engine.submit(self._n_tickets, self._function, attempt.task)
            self._n_tickets += 1

    def _next_attempt(self, worker: int | None) -> _Attempt[T] | None:
        task = self._waiting.pop(worker, is_busy=self._is_busy(worker))
        return None if task is None else _Attempt(task)

    def _is_busy(self, worker: int | None) -> bool:
        return any(attempt.worker == worker for attempt in self._in_flight.values())

    def _room(self) -> int:
        if self._suspects or any(attempt.n_deaths for attempt in self._in_flight.values()):
            return self._engine.n_alone
        return N_AHEAD * self._engine.n_workers

    def _events(self) -> Sequence[Event]:
        self._options.on_wait()
        was_asked = self._stop.requested
        events = self._engine.wait(POLL_S)
        if self._stop.requested and not was_asked and self._in_flight and not lacks_workers(self._engine):
            self._options.on_message(f"{self._stop.error}; finishing what is in flight, Ctrl-C stops at once")
        if not events and lacks_workers(self._engine) and not self._has_warned:
            self._options.on_message(f"no worker is there; waiting for one, at most {self._stall_timer.limit_s:g} s")
        self._has_warned = not events and lacks_workers(self._engine)
        if events:
            self._stall_timer.renew()
        elif self._stall_timer.is_over:
            tasks = ", ".join(self._options.title_of(attempt.task) for attempt in self._in_flight.values())
            raise WorkersError(f"no worker got anything done for {self._stall_timer.limit_s:g} s; in flight: {tasks}")
        return events

    def _handle(self, event: Event) -> Iterator[Result[T, R] | SetAside[T]]:
        attempt = self._in_flight.pop(event.ticket)
        match event:
            case Done():
                self._n_done += 1
                yield Result(attempt.task, event.result)
                yield from self._held_back
                self._held_back.clear()
            case Failed(error=FaultbenchError() as error):
                raise error
            case Failed():
                self._blame(attempt, 1, event.text, is_known=True)
            case Died():
                self._blame(attempt, event.n_deaths, event.reason, is_known=attempt.n_deaths > 0)

    def _blame(self, attempt: _Attempt[T], n_deaths: int, reason: str, *, is_known: bool) -> None:
        """Decide what happens to a task that went wrong; is_known if nothing else can be to blame."""
        self._n_deaths += n_deaths
        self._options.on_message(f"{self._options.title_of(attempt.task)}: {reason}")
        if self._n_deaths >= MAX_IDLE_DEATHS and not self._n_done:
            raise WorkersError(f"workers failed {self._n_deaths} times and nothing got done; the last time: {reason}")
        n_deaths += attempt.n_deaths
        parts = self._options.split(attempt.task) if is_known else [attempt.task]
        if is_known and len(parts) == 1 and n_deaths >= MAX_DEATHS:
            # Held back until the first result: if nothing works at all, the task is not to blame.
            self._held_back.append(SetAside(attempt.task, n_deaths, reason))
        else:
            # Of the deaths of a chunk, each part counts one as its own.
            self._suspects.extend(_Attempt(part, n_deaths if len(parts) == 1 else 1) for part in parts)
