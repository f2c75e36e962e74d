"""Tests of the reports of downloads, from a server on this machine."""

import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision.datasets import utils

from faultbench.datasets.download_progress import report_downloads
from faultbench.system.progress.json_reporter import JsonReporter

N_BYTES = 2_500_000


class Quiet(SimpleHTTPRequestHandler):
    """Handler that does not log requests."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - named by the base class
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server on this machine that has the file `images`."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # urllib keeps the proxy that an earlier test set
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "images").write_bytes(bytes(N_BYTES))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "there")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def downloaded(address: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the events of a download. It must not draw a bar."""
    stream = io.StringIO()
    with report_downloads(JsonReporter(stream), "cifar10"):
        utils.download_url(f"{address}/{name}", str(folder))
    assert "B/s" not in capsys.readouterr().err
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_download_is_a_task_in_megabytes(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, *_, last = downloaded(address, "images", tmp_path / "here", capsys)
    assert (first["event"], first["phase"], first["task"]) == ("started", "download", "download cifar10")
    assert (last["event"], last["done"], last["total"], last["unit"]) == ("ended", 3, 3, "MB")
    assert (tmp_path / "here" / "images").stat().st_size == N_BYTES


def test_afterwards_torchvision_draws_as_it_did(tmp_path: Path):
    before = utils.tqdm
    with pytest.raises(OSError, match="refused"), report_downloads(JsonReporter(io.StringIO()), "cifar10"):
        utils.download_url("http://127.0.0.1:9/images", str(tmp_path))
    assert utils.tqdm is before
