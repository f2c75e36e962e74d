"""Everything in this process, one task after another: for debugging."""

from collections.abc import Callable, Iterator, Sequence

from faultbench.engines.engine import R, T
from faultbench.registry import engine


@engine("serial")
class Serial:
    """In this process, one task after another."""

    def __init__(self, n_workers: int) -> None:  # noqa: ARG002 - the protocol's
        self.n_workers = 1

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """In the order of the tasks."""
        return map(function, tasks)
