"""Errors that a worker raises say so, and on which machine."""

import socket

from faultbench.runner.engines.engine import Engine, Failed
from faultbench.runner.engines.local import Local
from faultbench.runner.engines.serial import Serial
from faultbench.system.errors import FaultbenchError


def refuse(_task: int) -> None:
    raise FaultbenchError("no such data")


def fail(_task: int) -> None:
    raise ValueError("a bad value")


def failures(engine: Engine) -> list[BaseException]:
    """What the two functions raise, as the engine gives it."""
    engine.submit(0, refuse, 0)
    engine.submit(1, fail, 0)
    found: dict[int, BaseException] = {}
    while len(found) < 2:
        for event in engine.wait(0.2):
            assert isinstance(event, Failed)
            found[event.ticket] = event.error
    engine.close()
    return [found[0], found[1]]


def test_an_error_of_a_worker_names_its_machine() -> None:
    refusal, failure = failures(Local(1))
    assert (type(refusal), str(refusal)) == (FaultbenchError, f"a worker on {socket.gethostname()}: no such data")
    assert (type(failure), str(failure)) == (ValueError, "a bad value")
    assert failure.__notes__ == [f"on {socket.gethostname()}"]


def test_an_error_of_this_process_names_none() -> None:
    refusal, failure = failures(Serial(1))
    assert str(refusal) == "no such data"
    assert not hasattr(failure, "__notes__")
