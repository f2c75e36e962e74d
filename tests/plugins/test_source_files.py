"""Tests of source files: modules are found where Python finds them, and identified by all their source files."""

import hashlib
import importlib
import importlib.util
import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from faultbench.plugins.source_files import digests, find_source, parse
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import leaving_no_module, write

BOOM = "raise RuntimeError('imported')\n"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_module_is_found_in_the_folder_without_running_anything_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"one.py": BOOM, "pack/__init__.py": BOOM, "pack/two.py": BOOM, "space/deep/three.py": BOOM})
    found = [find_source(name, tmp_path) for name in ("one", "pack", "pack.two", "space.deep.three")]
    assert found == [tmp_path / name for name in ("one.py", "pack/__init__.py", "pack/two.py", "space/deep/three.py")]
    assert "pack" not in sys.modules


@pytest.mark.parametrize("name", ["none", "pack.none", "one.two", "space", "sys", "math", "os", "pack.sys"])
def test_what_has_no_source_of_its_own_is_not_found(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"one.py": "", "pack/__init__.py": "", "space/deep/three.py": ""})
    assert find_source(name, tmp_path) is None


@pytest.mark.parametrize("name", ["json", "json.decoder", "faultbench.networks.models.alexnet", "torch.nn.functional"])
def test_an_installed_module_is_found_where_python_finds_it(tmp_path: Path, name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert find_source(name, tmp_path) == Path(str(spec.origin))


def test_the_folder_comes_before_what_is_installed(tmp_path: Path) -> None:
    write(tmp_path, {"json/__init__.py": ""})
    assert find_source("json", tmp_path) == tmp_path / "json" / "__init__.py"
    assert find_source("json", tmp_path / "elsewhere") == Path(json.__file__)


def test_an_editable_install_is_found_through_its_own_finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        """Finder such as setuptools installs for a package outside the search path."""

        @staticmethod
        def find_spec(name: str, *_: object) -> ModuleSpec | None:
            file = tmp_path / "editable" / "__init__.py"
            return importlib.util.spec_from_file_location(name, file) if name == "editable" else None

    write(tmp_path, {"editable/__init__.py": "", "editable/nets.py": ""})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert find_source("editable.nets", tmp_path / "elsewhere") == tmp_path / "editable" / "nets.py"


def test_a_module_of_one_file_is_known_by_its_sha256(tmp_path: Path) -> None:
    write(tmp_path, {"one.py": "import torch\n"})
    assert digests("one", tmp_path) == (sha256("import torch\n"),)


PACKAGE = {
    "lab/__init__.py": "# package\n",
    "lab/nets.py": "from . import blocks\nfrom .sub.deep import depth\nfrom .nowhere import x\nfrom ..above import y\n",
    "lab/blocks.py": "def f():\n    import lab.nets, beside\n",
    "lab/sub/__init__.py": "# sub\n",
    "lab/sub/deep.py": "depth = 3\n",
    "lab/unused.py": "# unused\n",
    "beside.py": "from further import *\n",
    "further/__init__.py": "# further\n",
    "torch.py": "# never imported\n",
}


def test_a_module_is_made_of_its_packages_and_of_all_that_they_import_from_package_and_folder(tmp_path: Path) -> None:
    write(tmp_path, PACKAGE)
    unused = {"lab/unused.py", "torch.py"}
    assert digests("lab.nets", tmp_path) == tuple(sorted(sha256(PACKAGE[name]) for name in PACKAGE.keys() - unused))


def test_the_packages_of_a_module_that_imports_nothing_are_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, PACKAGE)
    packages = ("lab/__init__.py", "lab/sub/__init__.py", "lab/sub/deep.py")
    assert digests("lab.sub.deep", tmp_path) == tuple(sorted(sha256(PACKAGE[name]) for name in packages))


def test_an_installed_module_is_made_of_its_own_package_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "site", PACKAGE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    own = [text for name, text in PACKAGE.items() if name.startswith("lab/") and "unused" not in name]
    assert digests("lab.nets", tmp_path) == tuple(sorted(map(sha256, own)))


def test_faultbench_is_no_part_of_a_lab_even_when_it_lies_in_the_folder(tmp_path: Path) -> None:
    write(
        tmp_path, {"one.py": "import faultbench.campaign\n", "faultbench/__init__.py": "", "faultbench/campaign.py": ""}
    )
    assert len(digests("one", tmp_path)) == 1


@pytest.mark.parametrize("name", ["lab/nets.py", "lab/sub/__init__.py", "lab/sub/deep.py", "further/__init__.py"])
def test_a_change_of_any_of_its_files_changes_what_a_module_is_known_by(tmp_path: Path, name: str) -> None:
    write(tmp_path, PACKAGE)
    before = digests("lab.nets", tmp_path)
    write(tmp_path, {name: PACKAGE[name] + "# changed\n"})
    assert digests("lab.nets", tmp_path) != before


def test_the_place_of_a_module_is_no_part_of_what_it_is_known_by(tmp_path: Path) -> None:
    write(tmp_path / "a", PACKAGE)
    write(tmp_path / "b" / "c", PACKAGE)
    assert digests("lab.nets", tmp_path / "a") == digests("lab.nets", tmp_path / "b" / "c")


@pytest.mark.parametrize(
    ("source", "line"),
    [(b"x = 1\nclass:\n", 2), (b"x = '\0'\n", 1), (b"\xff\xfe\n", 1), (b"(" * 5000, 1), (b"x = (\n" * 3, 3)],
)
def test_what_is_no_python_is_told_with_file_and_line(tmp_path: Path, source: bytes, line: int) -> None:
    file = tmp_path / "one.py"
    file.write_bytes(source)
    for read in (lambda: parse(file), lambda: digests("one", tmp_path)):
        with pytest.raises(FaultbenchError) as caught:
            read()
        assert str(caught.value).startswith(f"{file}:{line}: not Python: ")
        assert len(str(caught.value).splitlines()) == 1


def test_a_source_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError, match=r"none\.py: cannot be read: No such file"):
        parse(tmp_path / "none.py")


def test_python_imports_the_file_that_was_found(tmp_path: Path) -> None:
    names = {"lab_alone": "lab_alone.py", "lab_pack.inner": "lab_pack/inner.py", "lab_space.deep": "lab_space/deep.py"}
    write(tmp_path, {**dict.fromkeys(names.values(), ""), "lab_pack/__init__.py": ""})
    with leaving_no_module(tmp_path):
        sys.path.insert(0, str(tmp_path))
        for name in names:
            assert find_source(name, tmp_path) == Path(str(importlib.import_module(name).__file__))
