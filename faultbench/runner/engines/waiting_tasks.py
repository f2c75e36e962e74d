"""Tasks that wait for a worker, by group, and which of them a worker gets."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingTasks(Generic[T]):
    """Tasks that wait, by group; a group without tasks is not kept.

    A worker goes on with its last group until no task of it waits. last_groups has the group of the last task that each
    worker was given; it is updated. No task is None.
    """

    def __init__(self, group_of: Callable[[T], Hashable], last_groups: dict[int, Hashable]) -> None:
        self._group_of, self._last_groups = group_of, last_groups
        self._by_group: dict[Hashable, deque[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_group)

    def add(self, tasks: Iterable[T]) -> None:
        """Let these tasks wait as well."""
        for task in tasks:
            self._by_group.setdefault(self._group_of(task), deque()).append(task)

    def note_group(self, worker: int | None, task: T) -> None:
        """Remember that a worker was given a task of this group; None is a worker that the engine does not name."""
        if worker is not None:
            self._last_groups[worker] = self._group_of(task)

    def pop(self, worker: int | None, *, is_busy: bool) -> T | None:
        """Take the task that a worker gets next; None if none waits, or if a busy worker would change its group."""
        if not self._by_group:
            return None
        group = self._next_group(worker)
        if worker in self._last_groups and group != self._last_groups[worker] and is_busy:
            return None  # what it works on may bring more tasks of its group
        task = self._by_group[group].popleft()
        if not self._by_group[group]:
            del self._by_group[group]
        return task

    def _next_group(self, worker: int | None) -> Hashable:
        """Return the worker's last group, else one that no worker has, else the one with most tasks waiting."""
        if worker in self._last_groups and self._last_groups[worker] in self._by_group:
            return self._last_groups[worker]
        free_groups = (group for group in self._by_group if group not in self._last_groups.values())
        return next(free_groups, max(self._by_group, key=lambda group: len(self._by_group[group])))
