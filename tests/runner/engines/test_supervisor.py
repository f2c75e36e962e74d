"""The rules of the supervisor, on an engine that does what a test's script says."""

import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from faultbench.runner.engines.engine import Died, Done, Event, Failed
from faultbench.runner.engines.supervisor import MAX_IDLE_DEATHS, Result, SetAside, Supervisor, SupervisorOptions
from faultbench.system.errors import EngineError, FaultbenchError, OutOfTime
from faultbench.system.signals import StopRequest

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
    given: dict[str, Any] = {"on_message": lambda _: None, **options}
    split_up = SupervisorOptions[Numbers](split=lambda task: [(n,) for n in task], title_of=str, **given)
    return Supervisor(engine, lambda task: task, split_up)


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


def groups_of(engine: InTurn, worker: int) -> list[int]:
    """Groups in the order in which a worker met them; a task's group is its first number."""
    return list(dict.fromkeys(task[0] for given, task in engine.given if given == worker))


def test_each_worker_goes_on_with_its_group() -> None:
    engine = InTurn()
    tasks = [(group, number) for group in range(6) for number in range(5)]
    ends = list(supervisor(engine, group_of=lambda task: task[0]).run(tasks))
    assert sorted(end.task for end in ends) == tasks
    assert (groups_of(engine, 0), groups_of(engine, 1)) == ([0, 2, 4], [1, 3, 5])


def test_a_worker_whose_group_is_done_helps_where_most_is_waiting() -> None:
    engine = InTurn()
    tasks = [(group, number) for group, size in enumerate((2, 20)) for number in range(size)]
    list(supervisor(engine, group_of=lambda task: task[0]).run(tasks))
    assert groups_of(engine, 0) == [0, 1]
    assert 10 <= sum(worker == 0 for worker, _ in engine.given) <= 12


def test_what_is_added_meanwhile_is_run_by_the_worker_that_has_its_group() -> None:
    engine, begun = InTurn(), set[int]()
    running = supervisor(engine, group_of=lambda task: task[0])
    ends = []
    for end in running.run([(group, number) for group in range(4) for number in range(3)]):
        ends.append(end.task)
        group = end.task[0]
        if group not in begun and sum(task[0] == group for task in ends) == 3:
            begun.add(group)
            running.add((group, number) for number in range(3, 8))
    assert sorted(ends) == [(group, number) for group in range(4) for number in range(8)]
    assert (groups_of(engine, 0), groups_of(engine, 1)) == ([0, 2], [1, 3])


def test_the_last_groups_of_workers_are_known_to_the_next_run() -> None:
    last_groups: dict[int, Any] = {}
    for groups in ((0, 1), (1, 0)):
        engine = InTurn()
        tasks = [(group, number) for group in groups for number in range(4)]
        list(supervisor(engine, group_of=lambda task: task[0], last_groups=last_groups).run(tasks))
        assert (groups_of(engine, 0), groups_of(engine, 1)) == ([0], [1])


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
    engine, stop, messages = Scripted(), StopRequest(), []
    with stop.listening():
        engine.on_wait = lambda: None if stop.requested else signal.raise_signal(signal.SIGTERM)
        ends = list(supervisor(engine, stop=stop, on_message=messages.append).run(chunks(10)))
    assert numbers(ends, Result) == list(range(16))
    assert isinstance(stop.error, OutOfTime)
    assert messages == ["asked to end by SIGTERM; finishing what is in flight, Ctrl-C stops at once"]


def test_a_second_ctrl_c_stops_at_once_and_closes_the_engine() -> None:
    engine, stop = Scripted(is_stuck=True), StopRequest()
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


class Deserted(Scripted):
    """A cluster without workers."""

    has_workers = False


def test_a_cluster_without_workers_is_told_once_and_a_request_to_stop_ends_the_wait() -> None:
    engine, stop, messages = Deserted(is_stuck=True), StopRequest(), list[str]()
    waits = [0]

    def ask_later() -> None:
        waits[0] += 1
        if waits[0] == 5:
            signal.raise_signal(signal.SIGTERM)

    engine.on_wait = ask_later
    with stop.listening():
        assert list(supervisor(engine, stop=stop, on_message=messages.append).run(chunks(3))) == []
    assert messages == ["no worker is there; waiting for one, at most 600 s"]
    assert (waits, engine.is_closed) == ([5], True)
