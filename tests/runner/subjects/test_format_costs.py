"""A number format that costs a network values or accuracy before any fault is a warning with figures."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.campaign import parse_campaign
from faultbench.cli.main import _exit_code
from faultbench.output.report import render
from faultbench.results.analysis.results import read_results
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.subjects.format_costs import FormatCost
from faultbench.system.progress.reporter import SilentReporter

pytestmark = pytest.mark.slow

TEXT = """\
name: formats
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
formats: [q15.16, float32, q3.4, q0.7]
bers: [1e-6]
trials: 1
images: 300
training: {schedule: fast, epochs: 8}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("formats")
    (place / "formats.yaml").write_text(TEXT)
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[Path, list[str]]:
    """The results folder of the campaign, and what the run printed of number formats."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = _exit_code(
            ["run", str(folder / "formats.yaml"), "-o", str(folder / "r"), "--engine=serial", "--progress=plain"],
            debug=False,
        )
    assert code == 0
    return folder / "r" / "formats", [line for line in err.getvalue().splitlines() if "number format" in line]


def test_a_format_that_costs_accuracy_or_cuts_values_off_is_said_with_figures(done: tuple[Path, list[str]]) -> None:
    _, said = done
    assert not [line for line in said if "q15.16" in line or "float32:" in line]
    (coarse,) = [line for line in said if "digits_cnn on digits: number format q3.4" in line]
    assert "golden accuracy" in coarse
    assert "on the first 300 test images" in coarse
    (narrow,) = [line for line in said if "digits_cnn/clip_act on digits: number format q0.7" in line]
    assert "5 of 5 bounds (100 %) lie outside of its range, -1 to 0.992188, and are cut off" in narrow


def test_the_figures_are_the_golden_runs_own(done: tuple[Path, list[str]]) -> None:
    place, said = done
    cells = read_results(place).cells
    golden = {(row.scheme, row.format): row.golden_accuracy for row in cells.itertuples()}
    (coarse,) = [line for line in said if "digits_cnn on digits: number format q3.4" in line]
    stored, exact = golden["relu", "q3.4"], golden["relu", "float32"]
    assert f"golden accuracy {100 * stored:.1f} %, in float32 {100 * exact:.1f} %" in coarse
    assert exact - stored > 0.01


def test_the_manifest_and_the_report_say_what_the_run_said(done: tuple[Path, list[str]]) -> None:
    place, said = done
    recorded = json.loads((place / "manifest.json").read_text())["warnings"]
    assert [line.removeprefix("warning: ") for line in said] == recorded
    page = render(read_results(place))
    assert all(warning.replace("'", "&#39;") in page for warning in recorded)


def test_a_second_run_says_it_again_and_measures_nothing_twice(
    done: tuple[Path, list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = done
    before = json.loads((place / "manifest.json").read_text())["warnings"]
    target = "faultbench.runner.subjects.format_costs.measure_accuracy"
    monkeypatch.setattr(target, lambda *_, **__: pytest.fail("it was measured again"))
    run_campaign(
        parse_campaign(TEXT, folder / "formats.yaml"), folder / "r", engine=Serial(1), reporter=SilentReporter()
    )
    assert json.loads((place / "manifest.json").read_text())["warnings"] == before


@given(right=st.integers(0, 1000), lost=st.integers(-20, 1000))
def test_more_than_a_point_is_a_warning_and_a_point_is_none(right: int, lost: int) -> None:
    cost = FormatCost(
        "net on data", "q3.4", "-8 to 7.9375", "parameters", 10, 0, (right - lost) / 1000, right / 1000, 1000
    )
    assert (cost.warning is not None) == (lost > 10)
