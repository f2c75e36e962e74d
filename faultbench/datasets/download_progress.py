"""Downloads as tasks of a reporter, in place of torchvision's own progress bars, which give no log lines or events."""

import math
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from faultbench.system.progress.reporter import Reporter, Task

MEGABYTE = 10**6


@contextmanager
def report_downloads(reporter: Reporter, name: str) -> Iterator[None]:
    """Report each torchvision download inside the block as a task `download <name>` in MB. Not for several threads.

    torchvision must be imported before the block: a data set that downloads by it has done so. Importing it here would
    cost every run, of the embedded digits too, two seconds.
    """
    utils: Any = sys.modules.get("torchvision.datasets.utils")
    if utils is None:
        yield
        return
    theirs = utils.tqdm
    utils.tqdm = lambda *_, total=None, **__: _Download(reporter, f"download {name}", total)
    try:
        yield
    finally:
        utils.tqdm = theirs


class _Download:
    """Stand-in for torchvision's progress bar. total and updates are in bytes; total is None if the server omits it."""

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
        """Add n_bytes to the bytes received."""
        before, self._n_bytes = self._n_bytes, self._n_bytes + n_bytes
        if more := self._n_bytes // MEGABYTE - before // MEGABYTE:
            self._task.advance(more)
