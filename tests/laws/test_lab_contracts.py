"""A lab tests its plug-ins with one line in a file of its own: good ones pass, broken ones fail with their reason."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.builders.labs import write

DOCS = Path(__file__).parents[2] / "docs"

HEAD = "from dataclasses import dataclass\n\nimport torch\nfrom torch import nn\n\nimport faultbench as fb\n"

BROKEN_SCHEME = f'''{HEAD}from faultbench.schemes import ClipToZero, Fitted


@fb.scheme("restless")
class Restless:
    """Bounds drawn at random."""

    def granularity_at(self, site, *, is_last):
        return "layer"

    def activation(self, bounds):
        return ClipToZero(bounds)

    def fit(self, fitting):
        return Fitted({{site.name: 50 + torch.rand(()) for site in fitting.network.sites}})
'''

BROKEN_MODEL = f'''{HEAD}

@fb.model("deaf")
def deaf(shape, n_classes):
    """Always ten classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 8), nn.ReLU(), nn.Linear(8, 10))
'''

BROKEN_DATA = f'''{HEAD}from faultbench.datasets import Images, Splits


@fb.dataset("leaky")
class Leaky:
    """The same images in every part."""

    shape, n_classes, n_test = (1, 8, 8), 2, 40

    def load(self):
        pixels = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return Splits(*3 * [Images(pixels, torch.arange(40) % 2)])

    def augment(self, pixels, generator):
        return pixels
'''

BROKEN_FORMAT = f'''{HEAD}

@fb.number_format("leaves")
class Leaves:
    """16 bits, of which the sign gets lost."""

    bits = 16

    def encode(self, values):
        return (values.abs() * 256).clamp(0, 65535).nan_to_num(0.0).to(torch.int32)

    def decode(self, words):
        return words.to(torch.float32) / 256
'''

BROKEN_FAULTS = f'''{HEAD}import numpy as np

from faultbench.memory import FaultMap, Targeted


@fb.fault_model("loose")
@dataclass(frozen=True)
class Loose(Targeted):
    """Random bits of another random stream each time."""

    def draw(self, space, *, ber, seed, trial):
        return FaultMap(np.unique(np.random.default_rng().integers(0, max(space.n_bits, 1), 5))[: space.n_bits])
'''

BROKEN_ENGINE = f'''{HEAD}from faultbench.runner.engines import Done


@fb.engine("lazy")
class Lazy:
    """Answers every task with nothing."""

    def __init__(self, n_workers):
        self.n_workers = self.n_alone = 1
        self.tickets = []

    def submit(self, ticket, function, task):
        self.tickets.append(ticket)

    def wait(self, timeout_s):
        tickets, self.tickets = self.tickets, []
        return [Done(ticket, []) for ticket in tickets]

    def close(self):
        pass
'''


def run_pytest(folder: Path, files: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a lab's folder, as the lab does."""
    write(folder, {"pytest.ini": "[pytest]\naddopts = --strict-markers\n", **files})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=280
    )


def manual_files(page: str) -> dict[str, str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- file: (\S+\.py) -->\n```\w+\n(.*?)```", text, re.DOTALL))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own_scheme.md", "own_model.md", "own_data.md"])
def test_the_manuals_plug_ins_pass_with_the_manuals_line(page: str, tmp_path: Path) -> None:
    files = {name: text for name, text in manual_files(page).items() if name != "save.py"}
    (test_file,) = (name for name in files if name.startswith("test_"))
    assert len(files[test_file].strip().splitlines()) == 1
    ran = run_pytest(tmp_path, files)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert re.search(r"\d+ passed", ran.stdout)
    assert "skipped" not in ran.stdout


BROKEN = {
    "TestSchemes": (BROKEN_SCHEME, "differ when fit runs again; draw from fitting.generator"),
    "TestModels": (BROKEN_MODEL, "10 logits where n_classes is 7"),
    "TestDatasets": (BROKEN_DATA, "40 images are in train and in calibration: results would be too good"),
    "TestNumberFormats": (BROKEN_FORMAT, "a larger value reads as a smaller one"),
    "TestFaultModels": (BROKEN_FAULTS, "the same trial has other flips when it is drawn again"),
    "TestEngines": (BROKEN_ENGINE, "a task that raises must give Failed, not Done"),
}


@pytest.mark.slow
@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_plug_in_fails_with_its_reason(contract: str, tmp_path: Path) -> None:
    source, reason = BROKEN[contract]
    ran = run_pytest(tmp_path, {"mylab.py": source, "test_mylab.py": f"from faultbench.testing import {contract}\n"})
    assert ran.returncode == 1, ran.stdout[-3000:]
    assert reason in ran.stdout, ran.stdout[-3000:]


@pytest.mark.slow
def test_a_folder_without_plug_ins_is_told_what_to_write(tmp_path: Path) -> None:
    files = {"mylab.py": BROKEN_MODEL, "test_mylab.py": "from faultbench.testing import TestSchemes\n"}
    ran = run_pytest(tmp_path, files, "--collect-only")
    assert ran.returncode == 2
    assert f'no scheme is declared in {tmp_path}; put @fb.scheme("name") before yours' in ran.stdout
    assert "Traceback" not in ran.stdout


@pytest.mark.slow
def test_an_old_import_ends_the_collection_with_its_line(tmp_path: Path) -> None:
    files = {
        "mylab.py": 'from faultbench.registry import model\n\n@model("old")\ndef old(): ...\n',
        "test_mylab.py": "from faultbench.testing import TestModels\n",
    }
    ran = run_pytest(tmp_path, files, "--collect-only")
    assert ran.returncode == 2
    assert "mylab.py:1: faultbench has no module faultbench.registry; write `import faultbench as fb`" in ran.stdout


@pytest.mark.slow
def test_plug_ins_are_found_above_the_tests_by_module_and_by_example(tmp_path: Path) -> None:
    family = BROKEN_MODEL.replace('"deaf"', '"net<size>"').replace("(shape,", "(size: int, shape,")
    files = {
        "mylab.py": BROKEN_MODEL,
        "pack/__init__.py": "",
        "pack/nets.py": family,
        "tests/test_mylab.py": "from faultbench.testing import TestModels\n",
        "tests/test_nets.py": "from faultbench import testing\n\n\nclass TestNets(testing.TestModels):\n"
        '    modules = ["pack.nets"]\n    examples = {"net<size>": ["net3", "net5"]}\n',
        "tests/test_forgotten.py": "from faultbench import testing\n\n\nclass TestNets(testing.TestModels):\n"
        '    modules = ["pack.nets"]\n',
    }
    ran = run_pytest(tmp_path, files, "--collect-only", "tests/test_mylab.py", "tests/test_nets.py")
    assert ran.returncode == 0, ran.stdout
    chosen = set(re.findall(r"(test_\w+\.py)::\w+::\w+\[(\S+)\]", ran.stdout))
    assert chosen == {("test_mylab.py", "deaf"), ("test_nets.py", "net3"), ("test_nets.py", "net5")}
    ran = run_pytest(tmp_path, files, "--collect-only", "tests/test_forgotten.py")
    assert ran.returncode == 2
    assert "model 'net<size>' has placeholders: say what to test" in ran.stdout
