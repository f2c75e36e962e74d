"""What an engine and its supervisor cost a chunk: the time of many tasks that do nothing.

    python benchmarks/engines.py [serial local dask ray]

Asked: at most 1 ms a chunk for `local`, 10 ms for `dask`. Workers are started before the clock is.
"""

import sys
import time
from collections.abc import Iterable
from statistics import median

from faultbench.plugins.registry import build, catalogue
from faultbench.runner.engines.supervisor import Supervisor, SupervisorOptions

N_TASKS = 500
N_ROUNDS = 5


def overhead_ms(name: str, n_workers: int) -> float:
    """Milliseconds a task, the median of some rounds."""
    engine = build("engine", name, {}, n_workers=n_workers)

    def run(tasks: Iterable[int]) -> None:
        options = SupervisorOptions[int](split=lambda task: [task], title_of=str, on_message=lambda _: None)
        for _ in Supervisor(engine, int, options).run(tasks):
            pass

    try:
        run(range(4 * n_workers))
        times_s = []
        for _ in range(N_ROUNDS):
            started = time.perf_counter()
            run(range(N_TASKS))
            times_s.append(time.perf_counter() - started)
        return 1000 * median(times_s) / N_TASKS
    finally:
        engine.close()


if __name__ == "__main__":
    for name in sys.argv[1:] or catalogue("engine"):
        for n_workers in (1, 2):
            print(f"{name}, {n_workers} workers: {overhead_ms(name, n_workers):.3f} ms a chunk")
