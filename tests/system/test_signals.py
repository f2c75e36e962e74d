"""Tests of signals: they stop a run at once, or after the running chunk, and the handlers are restored after it."""

import signal

import pytest

from faultbench.system.errors import FaultbenchError, Interrupted, OutOfTime
from faultbench.system.signals import SIGNALS, StopNow, StopRequest, signals_blocked


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, OutOfTime), (signal.SIGUSR1, OutOfTime)]
)
def test_outside_of_what_is_deferred_a_signal_stops_at_once(
    number: signal.Signals, kind: type[FaultbenchError]
) -> None:
    stop = StopRequest()
    with stop.listening(), pytest.raises(StopNow) as halt:
        signal.raise_signal(number)
    assert type(halt.value.error) is kind
    assert stop.requested


def test_inside_the_first_signal_waits_and_a_repeated_one_of_a_batch_system_too() -> None:
    stop = StopRequest()
    with stop.listening(), stop.deferring():
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StopNow):
            signal.raise_signal(signal.SIGINT)
    assert str(stop.error) == "asked to end by SIGUSR1"


def test_the_end_of_the_time_limit_is_a_request_like_the_others() -> None:
    stop = StopRequest()
    with pytest.raises(StopNow, match="the time limit is reached"), stop.listening(time_limit_s=0.01):
        signal.pause()


def test_handlers_are_afterwards_what_they_were() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopRequest().listening(time_limit_s=3600):
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_signals_that_are_held_back_come_at_the_end_of_the_block() -> None:
    stop = StopRequest()
    with stop.listening(), stop.deferring():
        with signals_blocked():
            signal.raise_signal(signal.SIGTERM)
            assert not stop.requested
        assert stop.requested


def test_a_stop_that_nobody_asked_for_has_no_error() -> None:
    with pytest.raises(ValueError, match="nobody asked"):
        _ = StopRequest().error
