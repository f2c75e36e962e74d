"""Signals and time limits that stop a run. The first request lets running chunks finish; a second Ctrl-C does not."""

import signal
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
"""Signals that ask a run to stop. Worker processes leave them to the main process."""


class StopNow(KeyboardInterrupt):
    """Request to stop at once, because no chunk is running, or because the user does not want to wait for one."""

    def __init__(self, error: FaultbenchError) -> None:
        super().__init__(str(error))
        self.error = error


class StopRequest:
    """State of a run's requests to stop: whether there was one, and why. Requests count only inside `listening`."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._deferring = False

    @property
    def requested(self) -> bool:
        """Return whether to start no new work."""
        return self._signal is not None

    @property
    def error(self) -> FaultbenchError:
        """Return the error that ends the run. ValueError if there was no request."""
        if self._signal is None:
            raise ValueError("nobody asked to stop")
        kind = Interrupted if self._signal is signal.SIGINT else OutOfTime
        return kind(_REASONS[self._signal])

    @contextmanager
    def listening(self, time_limit_s: float | None = None) -> Iterator[None]:
        """React to SIGINT, SIGTERM, SIGUSR1 and the end of the time limit inside the block. Main thread only."""
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
        """Let the first request only set `requested` inside the block. Outside it, every request raises StopNow."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        asked_before = self.requested
        if not asked_before:
            self._signal = signal.Signals(number)
        # A batch system may send its signal again. Only a second Ctrl-C means that a person does not want to wait.
        if not self._deferring or (asked_before and number == signal.SIGINT):
            raise StopNow(self.error)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Delay signals that ask to stop until the end of the block. Processes started inside it never get them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
