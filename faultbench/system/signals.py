"""Signals and time limits: a request to stop lets the chunks in flight finish, a second Ctrl-C does not."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from faultbench.system.errors import FaultbenchError, Interrupted, OutOfTime

_REASONS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "asked to end by SIGTERM",
    signal.SIGUSR1: "asked to end by SIGUSR1",
    signal.SIGALRM: "the time limit is reached",
}

SIGNALS = frozenset(_REASONS)
"""What asks a run to stop; worker processes leave these to the main process."""


class Halt(KeyboardInterrupt):
    """Stop at once: nothing is in flight that could be finished, or nobody wants to wait for it."""

    def __init__(self, error: FaultbenchError) -> None:
        super().__init__(str(error))
        self.error = error


class Stop:
    """Whether the run was asked to stop, and why; nobody asks unless `listening` is entered."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._deferring = False

    @property
    def requested(self) -> bool:
        """Whether to start nothing new."""
        return self._signal is not None

    @property
    def error(self) -> FaultbenchError:
        """What to end the run with; only once it is requested."""
        if self._signal is None:
            raise ValueError("nobody asked to stop")
        kind = Interrupted if self._signal is signal.SIGINT else OutOfTime
        return kind(_REASONS[self._signal])

    @contextmanager
    def listening(self, time_limit_s: float | None = None) -> Iterator[None]:
        """Answer to SIGINT, SIGTERM, SIGUSR1 and the end of the time limit inside the block; main thread only."""
        before = {number: signal.signal(number, self._on_signal) for number in _REASONS}
        if time_limit_s is not None:
            signal.setitimer(signal.ITIMER_REAL, max(time_limit_s, 1e-3))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Inside the block the first request only sets `requested`; outside every request raises Halt."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        asked_before = self.requested
        if not asked_before:
            self._signal = signal.Signals(number)
        # A batch system repeats itself; only a person who presses Ctrl-C once more wants no waiting.
        if not self._deferring or (asked_before and number == signal.SIGINT):
            raise Halt(self.error)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that ask to stop wait until the end of the block; processes started inside never get them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Patience:
    """How long nothing has happened, against a limit in seconds."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._last_s = time.perf_counter()

    def renew(self) -> None:
        """Something has happened."""
        self._last_s = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether nothing has happened for longer than the limit."""
        return time.perf_counter() - self._last_s > self.limit_s
