"""kill -9 of any process at any moment: nothing is lost, wrong or double, and a crash costs what was in flight."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.builders.crashes import Lab, Run

pytestmark = pytest.mark.crash

TRIALS = "trials=520"
"""A cell; four cells make 2,080."""

N_TRIALS = 2080
N_KILLS = 20
WORKERS = ("--workers", "2", "--progress", "plain", "-s", TRIALS)
IN_FLIGHT = 4 * 64
"""Trials in flight: two chunks a worker."""


@pytest.mark.timeout(900)
def test_twenty_kills_lose_nothing_and_cost_no_more_than_what_was_in_flight(tmp_path: Path) -> None:
    undisturbed = Lab(tmp_path / "undisturbed").write()
    assert undisturbed.run("--engine", "serial", "-s", TRIALS).code == 0
    lab = Lab(tmp_path / "killed").write()
    rng = np.random.default_rng(6)
    _train_under_kills(lab, rng, n_kills=3)
    _copy_artifacts(undisturbed, lab)  # bounds hold how long fitting them took, which tables of trials do not

    n_crashes = _run_under_kills(lab, rng, n_kills=N_KILLS - 3)

    last = lab.run(*WORKERS)
    assert last.code == 0, last.said
    assert lab.tables() == undisturbed.tables()
    assert len(lab.journal().trials) == lab.n_recorded() == N_TRIALS  # none lost, none double
    assert lab.n_drawn() - 2 * N_TRIALS <= n_crashes * IN_FLIGHT  # once to run, once to count flips


def _train_under_kills(lab: Lab, rng: np.random.Generator, *, n_kills: int) -> None:
    """Kill the whole group while it starts, trains and fits."""
    for delay_s in rng.uniform(0.5, 8, n_kills):
        run = lab.start(*WORKERS)
        time.sleep(delay_s)
        run.send(signal.SIGKILL)
        run.wait()


def _copy_artifacts(source: Lab, target: Lab) -> None:
    shutil.copytree(source.results / "artifacts", target.results / "artifacts", dirs_exist_ok=True)


def _run_under_kills(lab: Lab, rng: np.random.Generator, *, n_kills: int) -> int:
    """Kill a worker, the main process or all of them whenever a random number of trials more is recorded.

    Gives the number of kills. A killed worker's run goes on; every other run is started again.
    """
    run: Run | None = None
    for victim in rng.choice(["worker", "main", "group"], n_kills):
        if run is None or run.code is not None:
            run = lab.start(*WORKERS)
        run.until_recorded(lab.n_recorded() + int(rng.integers(1, 90)))
        _kill(run, str(victim), rng)
        if victim != "worker":
            run.wait()
    if run is not None and run.code is None:
        run.send(signal.SIGKILL)
        run.wait()
        return n_kills + 1
    return n_kills


def _kill(run: Run, victim: str, rng: np.random.Generator) -> None:
    workers = run.workers()
    if victim == "worker" and workers:
        os.kill(int(rng.choice(workers)), signal.SIGKILL)
    elif victim == "group" and run.code is None:
        run.send(signal.SIGKILL)
    else:
        run.process.kill()
