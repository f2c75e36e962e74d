"""Clusters of our own can be reached from this machine alone."""

import importlib.util
import ipaddress
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

LISTENING = "0A"


NEEDED = {"dask": "distributed", "ray": "ray"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in NEEDED])
def test_a_cluster_of_our_own_listens_on_loopback(name: str) -> None:
    if importlib.util.find_spec(NEEDED[name]) is None:
        pytest.skip(f"the extra [{name}] is not installed")
    listened = subprocess.run(
        [sys.executable, "-c", WHERE, name, str(Path(__file__).parents[3])], capture_output=True, text=True, check=True
    ).stdout
    assert listened.strip() == "['127.0.0.1']"


WHERE = """
import os, sys
sys.path.insert(0, sys.argv[2])
from tests.runner.engines.test_engine_ports import listening
from faultbench.plugins.registry import build

engine = build("engine", sys.argv[1], {}, n_workers=1)
engine.submit(0, int, 0)
while not engine.wait(0.2):
    pass
print(sorted(set(listening(os.getpid()))))
engine.close()
"""


def listening(main: int) -> Iterator[str]:
    """Addresses that processes of this one's tree listen on."""
    owned = {inode for pid in tree(main) for inode in sockets(pid)}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in owned:
                yield address(fields[1].partition(":")[0])


def address(digits: str) -> str:
    """An address as /proc has it: words of eight hex digits, each with its last byte first."""
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    found = ipaddress.ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found)


def tree(main: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {main}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets(pid: int) -> Iterator[str]:
    with suppress(OSError):  # the process has ended
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile, as what listed it is
                link = str(path.readlink())
                if link.startswith("socket:["):
                    yield link[8:-1]
