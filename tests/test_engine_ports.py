"""Clusters of our own can be reached from this machine alone."""

import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench import registry
from faultbench.engines.engine import Engine

LISTENING = "0A"


@pytest.mark.dask
@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="the extra [dask] is not installed")
def test_a_dask_cluster_of_our_own_listens_on_loopback() -> None:
    engine: Engine = registry.build("engine", "dask", {}, n_workers=1)
    engine.submit(0, int, 0)
    while not engine.wait(0.2):
        pass
    addresses = set(listening(os.getpid()))  # the scheduler is in this process, and its workers are its children
    engine.close()
    assert addresses
    assert addresses <= {"127.0.0.1"}


def listening(main: int) -> Iterator[str]:
    """Addresses that processes of this one's tree listen on."""
    owned = {inode for pid in tree(main) for inode in sockets(pid)}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENING and fields[9] in owned:
            yield socket.inet_ntoa(bytes.fromhex(fields[1].split(":")[0])[::-1])
    for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENING and fields[9] in owned:
            yield fields[1]


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
    try:
        links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return
    yield from (link[8:-1] for link in links if link.startswith("socket:["))
