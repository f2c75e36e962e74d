"""Timer that tells when an engine counts as stuck."""

import time


class StallTimer:
    """Time since something last happened, against a limit in seconds."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._last_s = time.perf_counter()

    def renew(self) -> None:
        """Start again: something has happened."""
        self._last_s = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether nothing has happened for longer than the limit."""
        return time.perf_counter() - self._last_s > self.limit_s
