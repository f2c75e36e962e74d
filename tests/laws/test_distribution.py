"""Files that users install: the sdist holds the whole repository, the wheel the whole package and nothing else."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import faultbench

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def repository_files() -> set[str]:
    """Return the files that git tracks; skip the test where there is no repository, as in an unpacked sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git repository")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


def test_the_sdist_holds_every_file_of_the_repository(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert repository_files() - held == set()


def test_the_wheel_holds_the_package_its_data_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "faultbench").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert held == files
    assert "faultbench/py.typed" in held


def test_the_version_is_a_release_and_the_same_everywhere(built: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", faultbench.__version__)
    assert sorted(path.name for path in built.iterdir()) == [
        f"faultbench_dnn-{faultbench.__version__}-py3-none-any.whl", f"faultbench_dnn-{faultbench.__version__}.tar.gz",
    ]  # fmt: skip
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {faultbench.__version__}\n" in citation


def test_make_quick_tests_folders_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rooms = re.findall(r"^QUICK := \$\(addprefix tests/,([a-z ]+)\)", makefile, re.MULTILINE)
    assert rooms
    for room in rooms[0].split():
        assert (ROOT / "tests" / room).is_dir()


def test_every_name_that_pyproject_includes_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert (ROOT / name.lstrip("/")).exists(), name
