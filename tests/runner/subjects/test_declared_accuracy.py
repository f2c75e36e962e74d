"""Given weights in a campaign: what does not fit, or is not as accurate as declared, ends it before any trial."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from faultbench.campaign import Campaign, parse_campaign
from faultbench.cli.main import _exit_code
from faultbench.datasets import Splits
from faultbench.networks.models.digits_cnn import digits_cnn as build_digits_cnn
from faultbench.networks.network import Network
from faultbench.networks.training import measure_accuracy
from faultbench.output.report import render
from faultbench.results.analysis.results import read_results
from faultbench.results.journal.contents import read_journal
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter

MEAN, STD = 0.375, 0.5  # exact in binary, so that the first layer can undo them


@pytest.fixture
def folder(digits_cnn: Network, tmp_path: Path) -> Path:
    """A folder with the trained digits_cnn as files: as it is, and for pixels that are normalised."""
    model = build_digits_cnn((1, 8, 8), 10)
    model.load_state_dict(digits_cnn.graph.state_dict(), strict=False)
    torch.save({f"net.{name}": tensor for name, tensor in model.state_dict().items()}, tmp_path / "raw.pt")
    first = model.get_submodule("features.0")
    assert isinstance(first, nn.Conv2d)
    with torch.no_grad():  # w·x + b = (w·std)·((x − mean)/std) + (b + mean·Σw), but for the frame of zeros
        first.bias += MEAN * first.weight.sum(dim=(1, 2, 3))
        first.weight *= STD
    torch.save(model.state_dict(), tmp_path / "normalised.pt")
    return tmp_path


def text(weights: str) -> str:
    return (
        f"name: given\ndatasets: [digits]\nmodels: [{{name: digits_cnn, weights: {weights}}}]\n"
        "schemes: [relu]\nbers: [1e-6]\ntrials: 2\nimages: 100\n"
    )


def campaign(folder: Path, weights: str) -> Campaign:
    return parse_campaign(text(weights), folder / "given.yaml")


def run_it(folder: Path, weights: str) -> Path:
    return run_campaign(campaign(folder, weights), folder / "results", engine=Serial(1), reporter=SilentReporter())


@pytest.fixture
def right(digits_cnn: Network, digits: Splits) -> float:
    """Its accuracy on all 500 test images; in Q15.16 as in float32."""
    return measure_accuracy(digits_cnn, digits.test, batch=64)


def test_a_campaign_whose_weights_are_as_accurate_as_declared_runs(folder: Path, right: float) -> None:
    done = run_it(folder, f"{{file: raw.pt, keys: {{net.: ''}}, golden_accuracy: {right}, tolerance: 0}}")
    assert len(read_journal(done / "journal").trials) == 2


def test_another_accuracy_than_declared_is_exit_code_2_and_no_trial(
    folder: Path, right: float, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = right - 0.03
    weights = f"{{file: raw.pt, keys: {{net.: ''}}, golden_accuracy: {declared:.3f}, tolerance: 0.02}}"
    (folder / "given.yaml").write_text(text(weights))
    arguments = ["run", str(folder / "given.yaml"), "-o", str(folder / "results"), "--engine=serial"]
    assert _exit_code(arguments, debug=False) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        f"digits_cnn on digits: golden accuracy {100 * right:.2f} % on all 500 test images; golden_accuracy "
        f"declares {100 * declared:.2f} % ± 2 points; look whether {folder / 'raw.pt'} holds the weights meant"
    ) in error
    journal = read_journal(folder / "results" / "given" / "journal")
    assert not journal.trials
    assert not journal.goldens


def test_a_tolerance_that_is_widened_is_enough_to_go_on_and_the_check_is_not_run_again(
    folder: Path, right: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = f"{{file: raw.pt, keys: {{net.: ''}}, golden_accuracy: {right - 0.03:.3f}, tolerance: {{tolerance}}}}"
    with pytest.raises(FaultbenchError, match="golden accuracy"):
        run_it(folder, weights.replace("{tolerance}", "0.01"))
    target = "faultbench.runner.subjects.declared_accuracy.measure_accuracy"
    monkeypatch.setattr(target, lambda *_, **__: pytest.fail("it was run again"))
    assert read_journal(run_it(folder, weights.replace("{tolerance}", "0.05")) / "journal").trials


def test_weights_for_normalised_pixels_are_as_right_as_raw_ones_were_once_that_is_said(
    folder: Path, right: float
) -> None:
    normalised = f"file: normalised.pt, normalisation: {{mean: [{MEAN}], std: [{STD}]}}, golden_accuracy: {right}"
    assert run_it(folder, f"{{{normalised}, tolerance: 0.03}}")  # frames differ: zeros are another grey
    with pytest.raises(FaultbenchError, match=r"golden accuracy .*whether they expect normalised pixels"):
        run_it(folder, f"{{file: normalised.pt, golden_accuracy: {right}, tolerance: 0.03}}")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            "{file: raw.pt, keys: {net.: ''}, normalisation: {mean: [0, 0, 0], std: [1, 1, 1]}}",
            "digits_cnn on digits: weights.normalisation is of 3 channels; given images of 1; give one number",
        ),
        ("{file: raw.pt, keys: {module.: ''}}", "raw.pt: keys: no name left begins with 'module.'"),
        ("{file: raw.pt, keys: {net.: x.}}", "not the weights of this network: classifier.0.bias, "),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(weights: str, message: str, folder: Path) -> None:
    with pytest.raises(FaultbenchError) as raised:
        run_it(folder, weights)
    assert message in str(raised.value)
    assert not (folder / "results").exists()


def test_all_that_is_declared_is_checked_before_anything_is_trained_or_fitted(folder: Path, right: float) -> None:
    entries = [
        "{name: digits_cnn, label: a, weights: {file: raw.pt, keys: {net.: ''}, golden_accuracy: 0.1}}",
        "{name: digits_cnn, label: b, weights: {file: normalised.pt, golden_accuracy: 0.2}}",
    ]
    models = f"[digits_cnn, {', '.join(entries)}]"
    written = text("raw.pt").replace("[{name: digits_cnn, weights: raw.pt}]", models)
    with pytest.raises(FaultbenchError) as raised:
        run_campaign(
            parse_campaign(written, folder / "given.yaml"),
            folder / "results",
            engine=Serial(1),
            reporter=SilentReporter(),
        )
    assert [share in str(raised.value) for share in ("declares 10.00 %", "declares 20.00 %")] == [True, True]
    assert not list((folder / "results" / "given" / "artifacts").glob("weights-*"))


def test_what_was_found_is_said_recorded_and_in_the_report(
    folder: Path, right: float, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = f"{{file: raw.pt, keys: {{net.: ''}}, golden_accuracy: {right}, tolerance: 0.01}}"
    (folder / "given.yaml").write_text(text(weights))
    arguments = ["run", str(folder / "given.yaml"), "-o", str(folder / "results"), "--engine=serial"]
    assert _exit_code([*arguments, "--progress=plain"], debug=False) == 0
    done, percent = folder / "results" / "given", f"{100 * right:.2f} %"
    assert f"digits_cnn on digits: golden accuracy {percent} on all 500 test images" in capsys.readouterr().err
    entry = {"network": "digits_cnn on digits", "declared": right, "tolerance": 0.01, "found": right, "n_images": 500}
    assert json.loads((done / "manifest.json").read_text())["declared_accuracies"] == [entry]
    assert f"{percent} on 500 test images; declared {percent} ± 1 points" in render(read_results(done))
