"""Tests that a lab's modules are imported only on load, and only if their source has not changed."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench.plugins.modules import PluginModule, as_user_error, find_module
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import leaving_no_module, write


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """Folder whose modules Python forgets after the test."""
    with leaving_no_module(tmp_path):
        yield tmp_path


def test_a_module_is_imported_when_it_is_loaded_and_not_when_it_is_found(lab: Path) -> None:
    write(
        lab, {"lab_one.py": "VALUE = 3\n", "lab_pack/__init__.py": "", "lab_pack/two.py": "from lab_one import VALUE\n"}
    )
    one, two = find_module("lab_one", lab), find_module("lab_pack.two", lab)
    assert not {"lab_one", "lab_pack"} & set(sys.modules)
    assert str(lab) not in sys.path
    assert (one.load().VALUE, two.load().VALUE) == (3, 3)
    assert one.load() is sys.modules["lab_one"]


def test_a_module_that_was_found_pickles_and_loads_from_the_copy(lab: Path) -> None:
    write(lab, {"lab_one.py": "VALUE = 3\n"})
    found = find_module("lab_one", lab)
    copy: PluginModule = pickle.loads(pickle.dumps(found))
    assert (copy, hash(copy)) == (found, hash(found))
    assert copy.load().VALUE == 3


def test_the_folder_comes_first_on_the_search_path_once(lab: Path) -> None:
    write(lab, {"lab_one.py": "", "other/lab_two.py": ""})
    one, two = find_module("lab_one", lab), find_module("lab_two", lab / "other")
    for module in (one, two, one):
        module.load()
    assert sys.path[:2] == [str(lab), str(lab / "other")]
    assert sys.path.count(str(lab)) == 1


def test_a_relative_folder_is_where_it_was_when_the_module_was_found(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lab, {"lab_one.py": "VALUE = 3\n"})
    monkeypatch.chdir(lab)
    found = find_module("lab_one", Path())
    monkeypatch.chdir("/")
    assert (found.folder, found.file) == (lab, lab / "lab_one.py")
    assert found.load().VALUE == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lab_on", r"no module 'lab_on' with Python source in .* or where Python looks; did you mean 'lab_one'\?$"),
        ("lab_one.py", "or where Python looks; write 'lab_one'$"),
        ("nothing.like.it", "or where Python looks$"),
        ("./lab_one", r"^must be a module's name, such as mymodels or mylab\.models; given '\./lab_one'$"),
        ("", "^must be a module's name"),
        ("a..b", "^must be a module's name"),
        ("lab_one;import os", "^must be a module's name"),
    ],
)
def test_a_name_that_finds_nothing_is_told_what_would_be_right(lab: Path, name: str, message: str) -> None:
    write(lab, {"lab_one.py": ""})
    with pytest.raises(FaultbenchError, match=message):
        find_module(name, lab)


@pytest.mark.parametrize(
    "name", ["json", "random", "torch", "joblib", "faultbench", "faultbench.networks.models.vgg", "PIL.lab"]
)
def test_a_name_that_is_taken_is_refused(lab: Path, name: str) -> None:
    write(lab, {f"{name.partition('.')[0]}.py": "VALUE = 3\n"})
    with pytest.raises(FaultbenchError, match=rf"a plug-in cannot have the name '{name.partition('.')[0]}', .* rename"):
        find_module(name, lab)


def test_what_is_no_file_is_not_offered_as_a_module(lab: Path) -> None:
    (lab / "folder.py").mkdir()
    with pytest.raises(FaultbenchError, match=r"no module 'folder' with Python source in .* where Python looks$"):
        find_module("folder", lab)


@pytest.mark.parametrize("changed", ["lab_one.py", "lab_part.py"])
def test_a_module_that_changed_since_it_was_found_is_refused(lab: Path, changed: str) -> None:
    write(lab, {"lab_one.py": "import lab_part\n", "lab_part.py": ""})
    found = find_module("lab_one", lab)
    write(lab, {changed: "import lab_part  # changed\n" if changed == "lab_one.py" else "# changed\n"})
    with pytest.raises(
        FaultbenchError, match=r"lab_one\.py, or what it imports, changed while in use; start a new process"
    ):
        found.load()


def test_a_module_that_was_imported_before_it_changed_is_refused_for_its_new_source_only(lab: Path) -> None:
    write(lab, {"lab_one.py": "VALUE = 3\n"})
    before = find_module("lab_one", lab)
    before.load()
    write(lab, {"lab_one.py": "VALUE = 30\n"})
    assert before.load().VALUE == 3
    with pytest.raises(FaultbenchError, match="changed while in use"):
        find_module("lab_one", lab).load()


def test_another_module_that_was_imported_under_the_name_is_refused(lab: Path) -> None:
    write(lab, {"a/lab_one.py": "VALUE = 1\n", "b/lab_one.py": "VALUE = 2\n"})
    find_module("lab_one", lab / "a").load()
    with pytest.raises(FaultbenchError, match=r"lab_one.* is imported under this name, not .*/b/lab_one\.py; rename"):
        find_module("lab_one", lab / "b").load()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\nimport not_installed_anywhere\n", r":2: .* ModuleNotFoundError: No module named 'not_installed_anywhere'$"),
        ("def f():\n    raise ValueError('first\\nsecond')\n\n\nf()\n", ":2: .* ValueError: first$"),
        ("import json\njson.loads('x')\n", ":2: .* JSONDecodeError: "),
    ],
)
def test_a_module_that_fails_to_import_is_one_line_with_the_line_of_its_file(
    lab: Path, source: str, message: str
) -> None:
    write(lab, {"lab_one.py": source})
    with pytest.raises(FaultbenchError, match=f"^{lab}/lab_one.py{message}") as caught:
        find_module("lab_one", lab).load()
    assert "plug-in lab_one cannot be imported" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_users_mistake_that_a_lab_raises_itself_stays_as_it_is() -> None:
    with pytest.raises(FaultbenchError, match=r"^as I say$"), as_user_error("it", Path("x.py")):
        raise FaultbenchError("as I say")
    with pytest.raises(FaultbenchError, match=r"^x\.py: it: KeyError: 'a'$"), as_user_error("it", Path("x.py")):
        {}["a"]
