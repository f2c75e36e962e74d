"""The fixture `assert_resilient`, in test files that a real pytest runs as a user's."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.campaign_texts import WEIGHTS

CAMPAIGN = """
name: fixture
datasets: [digits]
models: [digits_cnn]
schemes: [relu]
bers: [1e-5]
trials: 20
images: 50
"""

TESTS = """
import sys

import pytest


def test_nothing_heavy_is_imported_until_a_test_asks():
    assert not {"torch", "numpy", "pandas", "pydantic"} & sys.modules.keys()


@pytest.fixture
def network():
    from safetensors.torch import load_file

    from faultbench.networks.models.digits_cnn import digits_cnn

    model = digits_cnn((1, 8, 8), 10)
    model.load_state_dict(load_file("trained.safetensors"))
    return model


def test_as_trained(assert_resilient, network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert_resilient(network, "fixture.yaml", "fixture.json", fail_if=["golden_accuracy < 0.9"])
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())


def test_ruined(assert_resilient, network):
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert_resilient(network, "fixture.yaml", "fixture.json", max_drop="1pp", fail_if=["golden_accuracy < 0.9"])


def test_hardly_changed(assert_resilient, network):
    import torch

    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1e-3
    assert_resilient(network, "fixture.yaml", "fixture.json", max_drop="0.1pp", max_gain="20pp")


def test_foreign(assert_resilient):
    from torch import nn

    assert_resilient(nn.Linear(2, 2), "fixture.yaml", "fixture.json")


def test_two_models(assert_resilient, network):
    assert_resilient(network, "two.yaml", "fixture.json")


def test_no_network(assert_resilient):
    assert_resilient("trained.safetensors", "fixture.yaml", "fixture.json")


def test_no_baseline(assert_resilient, network):
    assert_resilient(network, "fixture.yaml", "none.json")
"""


def pytest_of_a_user(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The plug-in by its module, so that it is tested where the package is not installed, and once where it is.
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=short", "-p", "no:cacheprovider"]
    plugin = ["-p", "faultbench.cli.pytest_plugin"]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [*command, *plugin, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "fixture.yaml").write_text(CAMPAIGN, encoding="utf-8")
    two = CAMPAIGN.replace("[digits_cnn]", "[digits_cnn, {name: digits_cnn, weights: trained.safetensors, label: b}]")
    (tmp_path / "two.yaml").write_text(two, encoding="utf-8")
    shutil.copy(WEIGHTS, tmp_path / "trained.safetensors")
    return tmp_path


@pytest.mark.slow
def test_a_network_passes_or_fails_with_the_table_and_mistakes_are_one_line(folder: Path):
    made = pytest_of_a_user(folder, "--update-resilience", "-k", "trained")
    assert made.returncode == 0, made.stdout
    assert "fixture.json: baseline of 1 cells written; commit it." in made.stdout
    files = {path.name for path in folder.iterdir()}
    done = pytest_of_a_user(folder)
    assert "3 passed" in done.stdout, done.stdout
    assert "UserWarning: assert_resilient: UNDECIDED " in done.stdout
    assert "to tell a drop of 0.1 pp takes about " in done.stdout
    assert "PASSED test_mine.py::test_as_trained" in done.stdout
    assert "check of fixture against fixture.json: passed: 1 identical, 1 limit kept" in done.stdout
    failed = done.stdout.partition("FAILURES")[2]
    assert "check of fixture against fixture.json: FAILED" in failed
    assert "golden_accuracy < 0.9" in failed
    assert "not the weights of this network" in failed
    assert "two.yaml: models: 2 entries; a model given in memory takes the place of the weights of one" in failed
    assert "model: a trained torch.nn.Module is needed, or None; given a str" in failed
    assert "none.json: no such baseline; add --update-resilience to write it" in failed
    assert "During handling" not in failed
    assert "FAILED test_mine.py::test_ruined - Failed: check of fixture against" in done.stdout
    assert "Traceback" not in done.stdout
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == files - {"__pycache__"}
