"""Tests of a lab's imports: present ones are understood, and old ones give a line that says what to write now."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench.plugins import registry
from faultbench.plugins.modules import as_user_error, find_module
from faultbench.plugins.public_names import PUBLIC_PACKAGES, public_homes
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import leaving_no_module, write

OLD_SCHEME = '''\
"""A scheme as the manual had it before modules moved into rooms."""

from dataclasses import dataclass

from torch import Tensor, nn

from faultbench.activations import ClipToZero, Granularity
from faultbench.network import Site
from faultbench.registry import scheme
from faultbench.schemes.profile import profiled_bounds
from faultbench.schemes.effort import Effort
'''


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """Folder whose modules Python forgets after the test."""
    with leaving_no_module(tmp_path):
        yield tmp_path


def complaint(lab: Path, source: str) -> str:
    write(lab, {"lab_old.py": source})
    with pytest.raises(FaultbenchError) as caught:
        find_module("lab_old", lab)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{lab}/")


def test_a_file_with_the_old_imports_is_told_the_new_ones_at_once(lab: Path) -> None:
    assert complaint(lab, OLD_SCHEME) == (
        "lab_old.py:7: faultbench has no module faultbench.activations (nor those of lines 8, 9, 10, 11); "
        "write `import faultbench as fb` (fb.scheme) and "
        "`from faultbench.schemes import ClipToZero, FittingEffort, Granularity, Site, profiled_bounds`"
    )


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("from faultbench.registry import model, dataset", "write `import faultbench as fb` (fb.dataset, fb.model)"),
        ("from faultbench.errors import FaultbenchError", "write `import faultbench as fb` (fb.FaultbenchError)"),
        ("from faultbench.faults.targets import Targeted", "write `from faultbench.memory import Targeted`"),
        ("from faultbench.faults.fault_map import FaultMap", "write `from faultbench.memory import FaultMap`"),
        ("from faultbench.streams import generator", "write `from faultbench.memory import generator`"),
        ("from faultbench.engines.engine import Done", "write `from faultbench.runner.engines import Done`"),
        ("from faultbench import registry", "write `import faultbench as fb` and take what you need from what fb, "),
        ("import faultbench.registry as r", "write `import faultbench as fb` and take what you need from what fb, "),
        ("from faultbench.sources import parse", "write `import faultbench as fb` and take parse from what fb, "),
    ],
)
def test_every_old_import_is_answered_with_what_to_write(lab: Path, line: str, advice: str) -> None:
    assert advice in complaint(lab, f"{line}\n")


def test_an_old_import_is_found_in_files_that_the_module_imports(lab: Path) -> None:
    write(lab, {"lab_part.py": "\nfrom faultbench.network import Site\n"})
    assert complaint(lab, "import lab_part\n").startswith("lab_part.py:2: faultbench has no module faultbench.network;")


def test_a_lab_that_serves_two_versions_is_left_to_python(lab: Path) -> None:
    source = (
        "try:\n    import faultbench as fb\n    model = fb.model\nexcept ImportError:\n"
        '    from faultbench.registry import model\n\n\n@model("either")\ndef either(shape, n_classes): ...\n'
    )
    write(lab, {"lab_both.py": source})
    module = find_module("lab_both", lab)
    assert [entry.name for entry in registry.declarations(module, "model")] == ["either"]
    module.load()


@pytest.mark.parametrize(
    "statement",
    ["from faultbench.schemes.scheme import ClipToZero", "import importlib; from faultbench.network import Site"],
)
def test_an_import_that_fails_as_it_runs_is_told_the_same(statement: str) -> None:
    with pytest.raises(FaultbenchError, match=r"; write `.*faultbench") as caught, as_user_error("it", Path("x.py")):
        exec(statement, {})  # as a function of a lab would import it when it is called
    assert "\n" not in str(caught.value)


def test_a_command_ends_with_code_2_and_the_line(tmp_path: Path) -> None:
    files = {"lab_old.py": f'{OLD_SCHEME}\n\n@scheme("old")\nclass Old: ...\n'}
    campaign = "name: x\nplugins: [lab_old]\ndatasets: [digits]\nmodels: [digits_cnn]\nschemes: [old]\nbers: [1e-5]\n"
    write(tmp_path, {**files, "x.yaml": campaign})
    command = [sys.executable, "-m", "faultbench", "validate", "x.yaml"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "write `import faultbench as fb` (fb.scheme) and `from faultbench.schemes import ClipToZero" in ran.stderr
    assert "Traceback" not in ran.stderr


DECORATED = {
    "import faultbench as fb": "fb.model",
    "import faultbench": "faultbench.model",
    "from faultbench import model": "model",
    "from faultbench import model as network": "network",
    "from faultbench.plugins.registry import model": "model",
    "from faultbench.plugins import registry": "registry.model",
}


@pytest.mark.parametrize("line", DECORATED)
def test_a_decorator_is_recognised_however_it_is_imported(lab: Path, line: str) -> None:
    write(
        lab, {"lab_one.py": f'{line}\n\n\n@{DECORATED[line]}("tiny")\ndef tiny(*, width: int = 3):\n    """Small."""\n'}
    )
    (entry,) = registry.declarations(find_module("lab_one", lab), "model")
    assert (entry.name, list(entry.options), entry.summary) == ("tiny", ["width"], "Small.")
    assert entry.load().__name__ == "tiny"


def test_another_packages_decorator_of_the_same_name_declares_nothing(lab: Path) -> None:
    source = (
        'import click as fb\nfrom pydantic import model\n\n@fb.model("a")\ndef a(): ...\n\n@model("b")\ndef b(): ...\n'
    )
    write(lab, {"lab_one.py": source})
    assert registry.declarations(find_module("lab_one", lab), "model") == ()


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    names = [name for name, home in public_homes().items() if home == package]
    assert set(names) == set(module.__all__) >= set(names)
    assert all(getattr(module, name) is not None for name in names)
    assert set(names) <= set(dir(module))


def test_no_name_is_public_twice() -> None:
    names = [name for package in PUBLIC_PACKAGES for name in importlib.import_module(package).__all__]
    assert len(names) == len(set(names))
