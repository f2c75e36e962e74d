"""Contract of engines: each runs every task once, however many there are, and tells of failures."""

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from faultbench.runner.engines.engine import Done, Engine, Event, Failed
from faultbench.runner.engines.supervisor import Result, SetAside, Supervisor, SupervisorOptions
from faultbench.testing.contract import Contract
from faultbench.testing.selection import Plugin

Numbers = tuple[int, ...]

Outcome = Result[Any, list[int]] | SetAside[Any]


def squares(numbers: Numbers) -> list[int]:
    """Return the squares."""
    return [number * number for number in numbers]


def squares_except_of_13(numbers: Numbers) -> list[int]:
    """Return the squares; raise at 13."""
    if 13 in numbers:
        raise ValueError("13 is bad")
    return squares(numbers)


def squares_unless_13_kills(numbers: Numbers) -> list[int]:
    """Return the squares; end the process at 13."""
    if 13 in numbers:
        os._exit(9)
    return squares(numbers)


def squares_after_one_death(task: tuple[int, str]) -> list[int]:
    """Return the square; end the process the first time at 3."""
    number, trace = task
    if number == 3 and not Path(trace).exists():
        Path(trace).touch()
        os._exit(9)
    return [number * number]


def process_id(_: object) -> int:
    """Return the number of the process that runs the task."""
    return os.getpid()


def singly(numbers: Numbers) -> list[Numbers]:
    """Return every number as a task of its own."""
    return [(number,) for number in numbers]


def supervised(engine: Engine, function: Any, tasks: Sequence[Any], split: Any = singly) -> list[Outcome]:
    """Return what a supervisor makes of tasks on an engine."""
    options = SupervisorOptions(split=split, title_of=str, on_message=lambda _: None)
    return list(Supervisor(engine, function, options).run(tasks))


def values(outcomes: Sequence[Outcome]) -> list[int]:
    """Return all values of finished tasks, sorted."""
    return sorted(value for outcome in outcomes if isinstance(outcome, Result) for value in outcome.value)


def events(engine: Engine, n_wanted: int) -> list[Event]:
    """Wait for a number of events and return them by ticket."""
    collected: list[Event] = []
    while len(collected) < n_wanted:
        collected += engine.wait(0.2)
    return sorted(collected, key=lambda event: event.ticket)


def runs_here(engine: Engine) -> bool:
    """Return whether the engine runs tasks in this process."""
    engine.submit(0, process_id, None)
    (event,) = events(engine, 1)
    return event == Done(0, os.getpid())


class EngineContract(Contract):
    """What both contracts of engines need."""

    kind = "engine"

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, plugin: Plugin) -> Iterator[Engine]:
        """Start the engine with two workers, and close it."""
        engine: Engine = plugin.build(n_workers=2)
        yield engine
        engine.close()


class TestEngines(EngineContract):
    """Every engine, with two workers."""

    @pytest.mark.parametrize("n_tasks", [0, 1, 40])
    def test_every_task_is_run_once(self, engine: Engine, n_tasks: int) -> None:
        for number in range(n_tasks):
            engine.submit(number, squares, (number,))
        assert events(engine, n_tasks) == [Done(number, [number * number]) for number in range(n_tasks)]
        assert list(engine.wait(0)) == []

    def test_an_error_that_a_task_raises_is_told(self, engine: Engine) -> None:
        engine.submit(7, squares_except_of_13, (13,))
        (event,) = events(engine, 1)
        assert isinstance(event, Failed), f"a task that raises must give Failed, not {event}"
        assert event.ticket == 7
        assert isinstance(event.error, ValueError)
        assert str(event.error).startswith("13 is bad")

    def test_a_task_that_raises_is_found_in_its_chunk_and_all_others_finish(self, engine: Engine) -> None:
        chunks = [tuple(range(start, start + 5)) for start in range(0, 40, 5)]
        where = "" if runs_here(engine) else f" (on {socket.gethostname()})"
        outcomes = supervised(engine, squares_except_of_13, chunks)
        assert values(outcomes) == [number * number for number in range(40) if number != 13]
        (bad,) = (outcome for outcome in outcomes if isinstance(outcome, SetAside))
        assert (bad.task, bad.n_deaths, bad.reason) == ((13,), 3, f"ValueError: 13 is bad{where}")


class TestEnginesThatLoseWorkers(EngineContract):
    """Every engine that has worker processes, some of which end at once."""

    @pytest.fixture(autouse=True)
    def skip_without_workers(self, engine: Engine) -> None:
        """Skip an engine that runs tasks in this process: it has no worker to lose."""
        if runs_here(engine):
            pytest.skip("it runs tasks in this process and has no worker to lose")

    def test_a_task_that_kills_its_worker_is_found_in_its_chunk_and_all_others_finish(self, engine: Engine) -> None:
        chunks = [tuple(range(start, start + 5)) for start in range(0, 40, 5)]
        outcomes = supervised(engine, squares_unless_13_kills, chunks)
        assert values(outcomes) == [number * number for number in range(40) if number != 13]
        (bad,) = (outcome for outcome in outcomes if isinstance(outcome, SetAside))
        assert bad.task == (13,)
        assert bad.n_deaths == 3

    def test_a_dead_worker_costs_no_task(self, engine: Engine, tmp_path: Path) -> None:
        tasks = [(number, str(tmp_path / "died")) for number in range(12)]
        outcomes = supervised(engine, squares_after_one_death, tasks, split=lambda task: [task])
        assert values(outcomes) == [number * number for number in range(12)]
        assert (tmp_path / "died").exists()
        assert not [outcome for outcome in outcomes if isinstance(outcome, SetAside)]
