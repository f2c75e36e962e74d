"""Every engine runs every task once, however many there are, and tells of failures."""

import os
from pathlib import Path

import pytest

from faultbench import registry
from faultbench.engines.engine import Engine
from faultbench.engines.local import Local
from faultbench.errors import EngineError


@pytest.fixture(params=sorted(registry.catalogue("engine")))
def engine(request: pytest.FixtureRequest) -> Engine:
    return registry.build("engine", request.param, {}, n_workers=2)


def square(number: int) -> int:
    return number * number


def fail(number: int) -> int:
    raise ValueError(f"task {number} is bad")


def die_once(task: tuple[int, str]) -> int:
    number, trace = task
    if number == 3 and not Path(trace).exists():
        Path(trace).touch()
        os._exit(9)
    return number


def die(task: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("n_tasks", [0, 1, 40])
def test_every_task_is_run_once(engine: Engine, n_tasks: int) -> None:
    assert sorted(engine.map(square, range(n_tasks))) == [number * number for number in range(n_tasks)]


def test_a_task_that_raises_is_not_swallowed(engine: Engine) -> None:
    with pytest.raises(ValueError, match="task 0 is bad"):
        list(engine.map(fail, [0]))


@pytest.mark.crash
def test_a_dead_worker_costs_no_task(tmp_path: Path) -> None:
    tasks = [(number, str(tmp_path / "died")) for number in range(12)]
    assert sorted(Local(2).map(die_once, tasks)) == list(range(12))
    assert (tmp_path / "died").exists()


@pytest.mark.crash
def test_workers_that_keep_dying_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="workers died 3 times in a row"):
        list(Local(2).map(die, [1, 2]))
