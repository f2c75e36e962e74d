"""What an engine is to the runner."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Runs a function over tasks, each on its own; what it gives back comes in any order."""

    n_workers: int

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """function(task) for every task, as each is done; EngineError when workers keep dying."""
