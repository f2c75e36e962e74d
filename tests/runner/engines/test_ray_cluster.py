"""A cluster of ray's on loopback whose servers are killed: what is recorded is in the tables, and the run goes on."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from tests.builders.crashes import Lab, resume_commands

pytestmark = [
    pytest.mark.ray,
    pytest.mark.crash,
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="the extra [ray] is not installed"),
]

PLAIN = "--progress", "plain"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("undisturbed")).write()
    assert lab.run("--engine", "serial").code == 0
    return lab


def pids(session: int, program: str) -> list[int]:
    """Processes of a session that run a program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = path.read_text().partition("(")[2].rpartition(") ")
        except OSError:
            continue
        if name == program and int(fields.split()[3]) == session:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    ("program", "words"),
    [("raylet", "the ray cluster at this machine is gone"), ("gcs_server", "the head of the ray cluster at this mach")],
)
def test_the_death_of_a_server_of_ray_ends_the_run_with_its_tables(
    program: str, words: str, undisturbed: Lab, tmp_path: Path
) -> None:
    lab = Lab(tmp_path / "lab").write()
    lab.take_artifacts(undisturbed)
    lab.arm("slow")
    run = lab.start(*PLAIN, "--engine", "ray", "--workers", "1", "-s", "trials=3000")
    assert run.until_recorded(3), run.said
    (server,) = pids(run.process.pid, program)
    os.kill(server, signal.SIGKILL)
    assert run.wait() == 4, run.said
    assert words in run.said
    assert "Traceback" not in run.said
    assert len(list(resume_commands(run.said))) == 1
    assert lab.tables()["trials.csv"].count(b"\n") - 1 == lab.n_recorded()
    assert not pids(run.process.pid, "raylet")
    assert not pids(run.process.pid, "gcs_server")
    lab.arm()
    assert lab.run(*PLAIN, "--engine", "serial", "-s", "trials=20").code == 0
    kept = lab.journal().trials
    assert {name: kept[name] for name in undisturbed.journal().trials} == undisturbed.journal().trials


def test_an_address_where_nobody_answers_is_told_at_once(undisturbed: Lab) -> None:
    run = undisturbed.run(*PLAIN, "--engine", "ray", "--address", "127.0.0.1:9", "-s", "trials=30")
    assert run.code == 4
    assert "no ray cluster answers at 127.0.0.1:9: [Errno 111] Connection refused" in run.said
