"""Number of threads that torch uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joblib import cpu_count


@contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Make torch use n_threads threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def most_threads(limit: int | None = None) -> int:
    """Return the number of threads for training and fitting: the least of limit, OMP_NUM_THREADS and the cores.

    The cores are those that the affinity and the control group of the process allow.
    """
    requested = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # other numbers are for nested loops
    limits = [int(requested)] if requested.isdecimal() and int(requested) > 0 else []
    n_cores: int = cpu_count()
    return min([n_cores, *limits, *([] if limit is None else [limit])])
