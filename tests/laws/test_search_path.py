"""Code that lies in the current folder: no process of ours runs it, whatever the engine and whatever its name."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from faultbench.system.search_path import safe_environment, safe_path

REPOSITORY = Path(__file__).parents[2]

MODULES = (
    "PIL", "click", "cloudpickle", "contextlib", "dask", "distributed", "faultbench", "joblib", "loky", "msgpack",
    "multiprocessing", "numpy", "pickle", "psutil", "ray", "runpy", "sitecustomize", "torch", "tornado", "typing",
    "usercustomize", "yaml",
)  # fmt: skip

BEFORE_US = {"contextlib", "faultbench", "multiprocessing", "runpy", "sitecustomize", "typing"}
"""Modules that Python imports before any line of ours, where the first entry of its own path is the current folder."""

NOTE = "from pathlib import Path\nPath(__file__ + '.ran').touch()\nraise ImportError(__file__)\n"

PROGRAM = """\
import sys

from faultbench.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
"""

CAMPAIGN = {
    "name": "beside",
    "datasets": ["digits"],
    "models": [{"name": "digits_cnn", "weights": "ci_small.safetensors"}],
    "schemes": ["relu"],
    "bers": ["1e-4"],
    "trials": 2,
    "images": 20,
}

NEEDED = {"local": "joblib", "dask": "distributed", "ray": "ray"}

ENGINES = [
    pytest.param("local"),
    pytest.param("dask", marks=[pytest.mark.dask, pytest.mark.slow]),
    pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow]),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stranger's folder with a campaign, and beside it our command as it is installed."""
    folder = tmp_path / "stranger"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "faultbench").write_text(PROGRAM)
    folder.mkdir()
    (folder / "beside.yaml").write_text(yaml.safe_dump(CAMPAIGN))
    (folder / "ci_small.safetensors").write_bytes((REPOSITORY / "campaigns" / "ci_small.safetensors").read_bytes())
    return folder


def plant(folder: Path, *but: str) -> None:
    """Lay modules in the folder, and packages, that tell of being imported."""
    for name in set(MODULES).difference(but):
        (folder / f"{name}.py").write_text(NOTE)
    (folder / "encodings").mkdir()
    (folder / "encodings" / "__init__.py").write_text(NOTE if not but else "raise SystemError")


def ran(folder: Path, *arguments: str, engine: str = "local", path: str = "") -> subprocess.CompletedProcess[str]:
    """`faultbench run` in the folder with this PYTHONPATH."""
    options = ["run", "beside.yaml", "--engine", engine, "--workers", "1", "--progress", "plain"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path or str(REPOSITORY)}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, *arguments, *options],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def imported(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.ran"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_workers_run_no_code_of_the_current_folder(folder: Path, engine: str) -> None:
    if importlib.util.find_spec(NEEDED[engine]) is None:
        pytest.skip(f"the extra [{engine}] is not installed")
    plant(folder)
    run = ran(folder, "../bin/faultbench", engine=engine)
    assert (run.returncode, imported(folder)) == (0, []), run.stderr


@pytest.mark.slow
def test_an_empty_entry_of_the_search_path_is_not_the_current_folder(folder: Path) -> None:
    plant(folder, *BEFORE_US)
    (folder / "encodings" / "__init__.py").unlink()
    run = ran(folder, "../bin/faultbench", path=f":{REPOSITORY}:")
    assert (run.returncode, imported(folder)) == (0, []), run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("spelt", [("-m", "faultbench"), ("-bmfaultbench",)])
def test_python_m_drops_the_current_folder(folder: Path, spelt: tuple[str, ...]) -> None:
    plant(folder, *BEFORE_US)
    run = ran(folder, *spelt)
    assert (run.returncode, imported(folder)) == (0, []), run.stderr


def test_folders_that_the_user_names_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":/one::two:.")
    assert safe_environment() == {"PYTHONSAFEPATH": "1", "PYTHONPATH": "/one:two:."}


def test_a_checkout_in_the_current_folder_is_found_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert safe_environment()["PYTHONPATH"] == str(REPOSITORY)


def test_the_environment_is_afterwards_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    before = dict(os.environ)
    with safe_path():
        found = subprocess.run(
            [sys.executable, "-c", "import sys; print(sys.path)"], capture_output=True, text=True, check=True
        )
        assert str(tmp_path) not in found.stdout
        assert "''" not in found.stdout
    assert dict(os.environ) == before
