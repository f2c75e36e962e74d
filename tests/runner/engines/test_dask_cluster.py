"""A real dask scheduler and two workers on loopback: what happens when each of them goes."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders.crashes import Lab, resume_commands, waited_for
from tests.builders.labs import write

pytestmark = [
    pytest.mark.dask,
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="the extra [dask] is not installed"),
]

PLAIN = "--progress", "plain"


@dataclass
class Cluster:
    """A scheduler and its workers, as processes."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    where = tmp_path / "scheduler.json"
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    started = [dask(tmp_path, "scheduler", *here, "--port", "0", "--scheduler-file", str(where))]
    assert waited_for(lambda: where.exists() and where.read_text().rstrip().endswith("}"))  # exists, empty, for a while
    address = json.loads(where.read_text())["address"]
    worker = ["worker", address, *here, "--nthreads", "2", "--no-nanny"]
    started += [dask(tmp_path, *worker) for _ in range(2)]
    yield Cluster(address, started[0], started[1:])
    for process in started:
        process.kill()
        process.wait()


def dask(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "dask", *arguments], cwd=folder, env=environment, **quiet)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("undisturbed")).write()
    assert lab.run("--engine", "serial").code == 0
    return lab


@pytest.fixture
def lab(undisturbed: Lab, tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "lab").write()
    lab.take_artifacts(undisturbed)
    lab.arm("slow")
    return lab


def test_the_death_of_a_worker_costs_no_trial(cluster: Cluster, lab: Lab, undisturbed: Lab) -> None:
    run = lab.start(*PLAIN, "--engine", "dask", "--address", cluster.address)
    assert run.until(lambda: lab.n_drawn() > 2), run.said
    drawing = int((lab.folder / "drawn").read_text().split()[0])  # the process that began the first trial
    next(worker for worker in cluster.workers if worker.pid == drawing).kill()
    assert run.wait() == 0, run.said
    assert lab.tables() == undisturbed.tables()


def test_the_death_of_the_scheduler_ends_the_run(cluster: Cluster, lab: Lab) -> None:
    run = lab.start(*PLAIN, "--engine", "dask", "--address", cluster.address, "-s", "trials=500")
    assert run.until(lambda: lab.n_drawn() > 2), run.said
    cluster.scheduler.kill()
    assert run.wait() == 4, run.said
    assert f"the dask scheduler at {cluster.address} is gone; to go on: " in run.said
    assert lab.tables()["trials.csv"].count(b"\n") - 1 == lab.n_recorded()
    assert len(list(resume_commands(run.said))) == 1


def test_the_death_of_all_workers_ends_the_run_within_the_stall_limit(cluster: Cluster, lab: Lab) -> None:
    run = lab.start(*PLAIN, "--engine", "dask", "--address", cluster.address, "--stall-limit", "20s")
    assert run.until(lambda: lab.n_drawn() > 2), run.said
    for worker in cluster.workers:
        worker.send_signal(signal.SIGKILL)
    assert run.wait() == 4, run.said
    assert "no worker got anything done for 20 s" in run.said


def test_a_scheduler_without_workers_is_told_and_sigterm_obeyed(cluster: Cluster, lab: Lab) -> None:
    for worker in cluster.workers:
        worker.kill()
        worker.wait()
    run = lab.start(*PLAIN, "--engine", "dask", "--address", cluster.address)
    assert run.until(lambda: "no worker is there; waiting for one, at most 600 s" in run.said), run.said
    asked_s = time.monotonic()
    run.send(signal.SIGTERM)
    assert run.wait() == 75, run.said
    assert time.monotonic() - asked_s < 30  # far below the stall limit, on a machine that is busy
    assert "finishing what is in flight" not in run.said
    assert len(list(resume_commands(run.said))) == 1


def test_workers_look_for_data_where_the_client_does(cluster: Cluster, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab").write()
    write(lab.folder, {"lab_data.py": ONLY_THERE, "there/digits.txt": ""})
    choices = "-s", "plugins=[lab_models, lab_armed, lab_data]", "-s", "datasets=[only_there]", "-s", "trials=1"
    engine = "--engine", "dask", "--address", cluster.address
    run = lab.run(*PLAIN, *engine, *choices, "-s", "schemes=[relu]", "--data-dir", str(lab.folder / "there"))
    assert run.code == 0, run.said
    assert lab.n_recorded() == 2


ONLY_THERE = '''\
"""Digits, which are there only where the folder of data sets holds a file."""

from faultbench.datasets.decoded_cache import data_folder
from faultbench.datasets.digits import Digits
from faultbench.plugins.registry import dataset


@dataset("only_there")
class OnlyThere(Digits):
    """Digits."""

    def load(self):
        assert (data_folder() / "digits.txt").exists(), data_folder()
        return super().load()
'''


def test_an_address_where_nobody_answers_is_told(lab: Lab) -> None:
    run = lab.run(*PLAIN, "--engine", "dask", "--address", "tcp://127.0.0.1:9")
    assert run.code == 4
    assert "no dask scheduler answers at tcp://127.0.0.1:9" in run.said


def test_a_worker_with_several_threads_runs_one_task_at_a_time() -> None:
    from faultbench.runner.engines.dask import _one_at_a_time

    both_inside = threading.Barrier(2)

    def meet(_task: None) -> bool:
        try:
            both_inside.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        met = list(threads.map(lambda task: _one_at_a_time(meet, task), [None, None]))
    assert met == [False, False]
