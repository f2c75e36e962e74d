"""Downloads as tasks of a reporter: torchvision draws bars of its own, which are no lines of a log and no events."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from torchvision.datasets import utils

from faultbench.system.progress.reporter import Reporter, Task

MEGABYTE = 10**6


@contextmanager
def told(reporter: Reporter, name: str) -> Iterator[None]:
    """Each file that torchvision downloads inside is a task `download <name>`, in MB; not for several threads."""
    theirs = utils.tqdm
    utils.tqdm = lambda *_, total=None, **__: _Download(reporter, f"download {name}", total)
    try:
        yield
    finally:
        utils.tqdm = theirs


class _Download:
    """What torchvision takes for its bar; total and updates are in bytes, total None where the server does not say."""

    def __init__(self, reporter: Reporter, description: str, total: int | None) -> None:
        n_megabytes = math.ceil((total or 0) / MEGABYTE)
        self._context: AbstractContextManager[Task] = reporter.task(description, n_megabytes, unit="MB")
        self._n_bytes = 0

    def __enter__(self) -> Self:
        self._task = self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if error is None and self._n_bytes % MEGABYTE:
            self._task.advance()
        return self._context.__exit__(kind, error, trace)

    def update(self, n_bytes: int) -> None:
        """So many bytes more are there."""
        before, self._n_bytes = self._n_bytes, self._n_bytes + n_bytes
        if more := self._n_bytes // MEGABYTE - before // MEGABYTE:
            self._task.advance(more)
