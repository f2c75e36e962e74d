"""The rules of the supervisor, on an engine that does what a test's script says."""

import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from faultbench.runner.engines.engine import Died, Done, Event, Failed
from faultbench.runner.engines.supervisor import MAX_IDLE_DEATHS, Result, SetAside, Supervisor
from faultbench.system.errors import EngineError, FaultbenchError, OutOfTime
from faultbench.system.signals import Stop

Numbers = tuple[int, ...]


class Scripted:
    """Two workers that finish the oldest task; one that holds a deadly number takes all in flight along."""

    n_workers, n_alone = 2, 1

    def __init__(self, deadly: Sequence[int] = (), *, is_stuck: bool = False) -> None:
        self.deadly, self.is_stuck, self.is_closed = set(deadly), is_stuck, False
        self.flying: dict[int, Numbers] = {}
        self.most_in_flight = 0
        self.deaths: list[list[Numbers]] = []
        self.on_wait: Callable[[], None] = lambda: None

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Numbers) -> None:  # noqa: ARG002 - the protocol's
        self.flying[ticket] = task
        self.most_in_flight = max(self.most_in_flight, len(self.flying))

    def wait(self, timeout_s: float) -> Sequence[Event]:  # noqa: ARG002 - the protocol's
        self.on_wait()
        if self.is_stuck:
            return []
        if any(self.deadly & set(task) for task in self.flying.values()):
            gone, self.flying = self.flying, {}
            self.deaths.append(list(gone.values()))
            return [Died(ticket, "killed") for ticket in gone]
        ticket = min(self.flying)
        return [Done(ticket, self.flying.pop(ticket))]

    def close(self) -> None:
        self.is_closed = True
        self.flying.clear()


def supervisor(engine: Any, **options: Any) -> Supervisor[Numbers, Numbers]:
    given: dict[str, Any] = {"stop": Stop(), "told": lambda _: None, **options}
    return Supervisor(engine, lambda task: task, split=lambda task: [(n,) for n in task], named=str, **given)


def chunks(n_chunks: int, size: int = 4) -> list[Numbers]:
    return [tuple(range(start, start + size)) for start in range(0, n_chunks * size, size)]


def numbers(ends: Sequence[Any], kind: type) -> list[int]:
    return sorted(number for end in ends if isinstance(end, kind) for number in end.task)


def test_two_tasks_a_worker_are_in_flight_and_no_more() -> None:
    engine = Scripted()
    assert numbers(list(supervisor(engine).run(chunks(10))), Result) == list(range(40))
    assert engine.most_in_flight == 4
    assert not engine.is_closed  # the runner goes on with it


class InTurn(Scripted):
    """The same, and it says whose turn it is: workers finish one task each by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[int, Numbers]] = []
        self.held: list[list[int]] = [[], []]

    @property
    def next_worker(self) -> int:
        return min((0, 1), key=lambda worker: len(self.held[worker]))

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Numbers) -> None:
        self.given.append((self.next_worker, task))
        self.held[self.next_worker].append(ticket)
        super().submit(ticket, function, task)

    def wait(self, timeout_s: float) -> Sequence[Event]:  # noqa: ARG002 - the protocol's
        oldest = min(self.flying)
        for tickets in self.held:
            if oldest in tickets:
                tickets.remove(oldest)
        return [Done(oldest, self.flying.pop(oldest))]


def kins_of(engine: InTurn, worker: int) -> list[int]:
    """Kins in the order in which a worker met them; a task's kin is its first number."""
    return list(dict.fromkeys(task[0] for given, task in engine.given if given == worker))


def test_each_worker_goes_on_with_the_kin_that_it_has_ready() -> None:
    engine = InTurn()
    tasks = [(kin, number) for kin in range(6) for number in range(5)]
    ends = list(supervisor(engine, kin=lambda task: task[0]).run(tasks))
    assert sorted(end.task for end in ends) == tasks
    assert (kins_of(engine, 0), kins_of(engine, 1)) == ([0, 2, 4], [1, 3, 5])


def test_a_worker_whose_kin_is_done_helps_where_most_is_waiting() -> None:
    engine = InTurn()
    tasks = [(kin, number) for kin, size in enumerate((2, 20)) for number in range(size)]
    list(supervisor(engine, kin=lambda task: task[0]).run(tasks))
    assert kins_of(engine, 0) == [0, 1]
    assert 10 <= sum(worker == 0 for worker, _ in engine.given) <= 12


def test_what_is_added_meanwhile_is_run_by_the_worker_that_has_its_kin_ready() -> None:
    engine, begun = InTurn(), set[int]()
    running = supervisor(engine, kin=lambda task: task[0])
    ends = []
    for end in running.run([(kin, number) for kin in range(4) for number in range(3)]):
        ends.append(end.task)
        kin = end.task[0]
        if kin not in begun and sum(task[0] == kin for task in ends) == 3:
            begun.add(kin)
            running.add((kin, number) for number in range(3, 8))
    assert sorted(ends) == [(kin, number) for kin in range(4) for number in range(8)]
    assert (kins_of(engine, 0), kins_of(engine, 1)) == ([0, 2], [1, 3])


def test_what_workers_have_ready_is_known_to_the_next_run() -> None:
    ready: dict[int, Any] = {}
    for kins in ((0, 1), (1, 0)):
        engine = InTurn()
        tasks = [(kin, number) for kin in kins for number in range(4)]
        list(supervisor(engine, kin=lambda task: task[0], ready=ready).run(tasks))
        assert (kins_of(engine, 0), kins_of(engine, 1)) == ([0], [1])


def test_after_a_death_suspects_run_alone_until_the_guilty_one_is_found() -> None:
    engine = Scripted(deadly=[5])
    ends = list(supervisor(engine).run(chunks(10)))
    assert numbers(ends, Result) == [n for n in range(40) if n != 5]
    assert numbers(ends, SetAside) == [5]
    shared, *alone = engine.deaths
    assert shared == chunks(4)
    assert alone == [[(4, 5, 6, 7)], [(5,)], [(5,)]]


def test_a_chunk_of_one_is_set_aside_after_three_deaths() -> None:
    engine = Scripted(deadly=[1])
    ends = list(supervisor(engine).run(chunks(3, size=1)))
    assert len(engine.deaths) == 3
    assert [(end.task, end.n_deaths, end.reason) for end in ends if isinstance(end, SetAside)] == [((1,), 3, "killed")]


def test_where_nothing_works_no_task_is_blamed() -> None:
    ends = []
    engine = Scripted(deadly=range(1000))
    with pytest.raises(EngineError, match=f"workers failed {MAX_IDLE_DEATHS} times and nothing got done.*killed"):
        ends.extend(supervisor(engine).run(chunks(100)))
    assert not ends


def test_tasks_that_are_all_deadly_but_few_are_set_aside() -> None:
    assert numbers(list(supervisor(Scripted(deadly=[0, 1])).run([(0, 1)])), SetAside) == [0, 1]


def test_an_engine_without_a_sign_of_life_is_given_up_naming_what_it_holds() -> None:
    engine = Scripted(is_stuck=True)
    with pytest.raises(EngineError, match=r"no worker got anything done for 0 s; in flight: \(0, 1\), \(2, 3\)"):
        list(supervisor(engine, stall_limit_s=0).run(chunks(2, size=2)))
    assert engine.is_closed


def test_asked_to_stop_it_finishes_what_is_in_flight_and_begins_nothing() -> None:
    engine, stop, said = Scripted(), Stop(), []
    with stop.listening():
        engine.on_wait = lambda: None if stop.requested else signal.raise_signal(signal.SIGTERM)
        ends = list(supervisor(engine, stop=stop, told=said.append).run(chunks(10)))
    assert numbers(ends, Result) == list(range(16))
    assert isinstance(stop.error, OutOfTime)
    assert said == ["asked to end by SIGTERM; finishing what is in flight, Ctrl-C stops at once"]


def test_a_second_ctrl_c_stops_at_once_and_closes_the_engine() -> None:
    engine, stop = Scripted(is_stuck=True), Stop()
    engine.on_wait = lambda: signal.raise_signal(signal.SIGINT)
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        list(supervisor(engine, stop=stop).run(chunks(10)))
    assert engine.is_closed


def test_a_users_mistake_found_by_a_worker_ends_the_run() -> None:
    class Mistaken(Scripted):
        def wait(self, timeout_s: float) -> Sequence[Event]:  # noqa: ARG002 - the protocol's
            return [Failed(ticket, FaultbenchError("no such bit")) for ticket in self.flying]

    engine = Mistaken()
    with pytest.raises(FaultbenchError, match="no such bit"):
        list(supervisor(engine).run(chunks(1)))
