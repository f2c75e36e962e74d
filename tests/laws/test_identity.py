"""The same bytes from every engine, any number of workers, shards put together, and runs that were interrupted."""

import importlib.util
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from faultbench.results.journal.contents import read_journal
from tests.builders.crashes import Lab, Run

TRIALS = "-s", "trials=200"
PLAIN = "--progress", "plain", *TRIALS


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("serial")).write()
    assert lab.run("--engine", "serial", *TRIALS).code == 0
    return lab


@pytest.fixture
def lab(serial: Lab, tmp_path: Path) -> Lab:
    lab = Lab(tmp_path).write()
    lab.take_artifacts(serial)
    return lab


def engine(*options: str) -> Callable[[Lab], Lab]:
    def run(lab: Lab) -> Lab:
        finished = lab.run(*PLAIN, *options)
        assert finished.code == 0, finished.said
        return lab

    return run


def three_shards_merged(lab: Lab) -> Lab:
    for number in (3, 1, 2):
        shard = lab.run(*PLAIN, "--workers", "2", "--shard", f"{number}/3")
        assert shard.code == 0, shard.said
    files = sorted((lab.results / "journal").iterdir())
    shards = [read_journal_of(file) for file in files]
    assert len(shards) == 3
    assert all(150 < len(shard) < 400 for shard in shards)
    assert sum(map(len, shards)) == 800  # none in two of them
    parts = []
    for file in files:
        part = Lab(lab.folder / file.stem)
        part.results.mkdir(parents=True)
        part.take_artifacts(lab)
        (part.results / "journal").mkdir()
        file.rename(part.results / "journal" / file.name)
        parts.append(part)
    together = Lab(lab.folder / "together")
    program = lab.command()[:3]
    merge = Run(lab, [*program, "merge", str(together.results), *(str(part.results) for part in parts)])
    assert merge.wait() == 0, merge.said
    return together


def read_journal_of(file: Path) -> set[tuple[str, int]]:
    alone = file.parent.with_name(file.stem)
    alone.mkdir()
    (alone / file.name).hardlink_to(file)
    return set(read_journal(alone).trials)


def interrupted_twice(lab: Lab) -> Lab:
    lab.arm("slow")
    for number in (signal.SIGINT, signal.SIGTERM):
        run = lab.start(*PLAIN, "--workers", "1")
        n_drawn = lab.n_drawn()
        assert run.until(lambda n_drawn=n_drawn: lab.n_drawn() > n_drawn + 3)
        run.send(number)
        assert run.wait() in (75, 130)
    assert 0 < lab.n_recorded() == lab.n_drawn() < 800
    lab.arm()
    return engine("--workers", "2")(lab)


WAYS = {
    "local, 1 worker": engine("--workers", "1"),
    "local, 2 workers": engine("--workers", "2"),
    "dask": engine("--engine", "dask", "--workers", "2"),
    "ray": engine("--engine", "ray", "--workers", "2"),
    "3 shards merged": three_shards_merged,
    "interrupted twice": interrupted_twice,
}
NEEDED = {"dask": "distributed", "ray": "ray"}


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=[getattr(pytest.mark, way), pytest.mark.slow] if way in NEEDED else [pytest.mark.crash])
        for way in WAYS
    ],
)
def test_the_tables_are_the_same_bytes_as_those_of_one_process(way: str, serial: Lab, lab: Lab) -> None:
    if way in NEEDED and importlib.util.find_spec(NEEDED[way]) is None:
        pytest.skip(f"the extra [{way}] is not installed")
    lab.results.mkdir(parents=True, exist_ok=True)
    assert WAYS[way](lab).tables() == serial.tables()
