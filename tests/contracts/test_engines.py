"""Every engine runs every task once, however many there are, and tells of failures."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench.plugins import registry
from faultbench.runner.engines.engine import Done, Engine, Event, Failed
from faultbench.runner.engines.serial import Serial
from faultbench.runner.engines.supervisor import Result, SetAside, Supervisor
from faultbench.system.signals import Stop

NEEDED = {"dask": "distributed", "ray": "ray"}
"""Engine → the package of its extra; the engine's name is also the marker."""

Numbers = tuple[int, ...]


ENGINES = [
    pytest.param(name, marks=[getattr(pytest.mark, name)] if name in NEEDED else [])
    for name in registry.catalogue("engine")
]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = request.param
    if name in NEEDED and importlib.util.find_spec(NEEDED[name]) is None:
        pytest.skip(f"the extra [{name}] is not installed")
    built: Engine = registry.build("engine", name, {}, n_workers=2)
    yield built
    built.close()


@pytest.fixture
def processes(engine: Engine) -> Engine:
    if isinstance(engine, Serial):
        pytest.skip("serial has no worker to lose")
    return engine


def squares(numbers: Numbers) -> list[int]:
    return [number * number for number in numbers]


def squares_but_of_13(numbers: Numbers) -> list[int]:
    if 13 in numbers:
        raise ValueError("13 is bad")
    return squares(numbers)


def squares_unless_13_kills(numbers: Numbers) -> list[int]:
    if 13 in numbers:
        os._exit(9)
    return squares(numbers)


def squares_after_one_death(task: tuple[int, str]) -> list[int]:
    number, trace = task
    if number == 3 and not Path(trace).exists():
        Path(trace).touch()
        os._exit(9)
    return [number * number]


def singly(numbers: Numbers) -> list[Numbers]:
    return [(number,) for number in numbers]


def supervised(engine: Engine, function, tasks, split=singly) -> list[Result | SetAside]:
    supervisor = Supervisor(engine, function, split=split, named=str, stop=Stop(), told=lambda _: None)
    return list(supervisor.run(tasks))


def values(ends: list[Result | SetAside]) -> list[int]:
    return sorted(value for end in ends if isinstance(end, Result) for value in end.value)


def events(engine: Engine, n_wanted: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < n_wanted:
        found += engine.wait(0.2)
    return sorted(found, key=lambda event: event.ticket)


@pytest.mark.parametrize("n_tasks", [0, 1, 40])
def test_every_task_is_run_once(engine: Engine, n_tasks: int) -> None:
    for number in range(n_tasks):
        engine.submit(number, squares, (number,))
    assert events(engine, n_tasks) == [Done(number, [number * number]) for number in range(n_tasks)]
    assert list(engine.wait(0)) == []


def test_what_a_task_raises_is_told(engine: Engine) -> None:
    engine.submit(7, squares_but_of_13, (13,))
    (event,) = events(engine, 1)
    assert isinstance(event, Failed)
    assert event.ticket == 7
    assert isinstance(event.error, ValueError)
    assert str(event.error).startswith("13 is bad")


def test_a_task_that_raises_is_found_in_its_chunk_and_all_others_finish(engine: Engine) -> None:
    chunks = [tuple(range(start, start + 5)) for start in range(0, 40, 5)]
    ends = supervised(engine, squares_but_of_13, chunks)
    assert values(ends) == [number * number for number in range(40) if number != 13]
    (bad,) = (end for end in ends if isinstance(end, SetAside))
    assert (bad.task, bad.n_deaths, bad.reason) == ((13,), 3, "ValueError: 13 is bad")


@pytest.mark.crash
def test_a_task_that_kills_its_worker_is_found_in_its_chunk_and_all_others_finish(processes: Engine) -> None:
    chunks = [tuple(range(start, start + 5)) for start in range(0, 40, 5)]
    ends = supervised(processes, squares_unless_13_kills, chunks)
    assert values(ends) == [number * number for number in range(40) if number != 13]
    (bad,) = (end for end in ends if isinstance(end, SetAside))
    assert bad.task == (13,)
    assert bad.n_deaths == 3


@pytest.mark.crash
def test_a_dead_worker_costs_no_task(processes: Engine, tmp_path: Path) -> None:
    tasks = [(number, str(tmp_path / "died")) for number in range(12)]
    ends = supervised(processes, squares_after_one_death, tasks, split=lambda task: [task])
    assert values(ends) == [number * number for number in range(12)]
    assert (tmp_path / "died").exists()
    assert not [end for end in ends if isinstance(end, SetAside)]
