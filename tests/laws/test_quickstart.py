"""The campaign that newcomers run shows what the papers show."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faultbench.results.analysis.results import Results, read_results
from faultbench.results.stats import mean_interval

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "quickstart.yaml"
PROTECTED = ("clip_act", "clip_act_neuron", "ranger", "ft_clipact", "fitact", "hyrelu_proact")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The quickstart at its two highest BERs, with 40 trials per cell."""
    root = tmp_path_factory.mktemp("quickstart")
    options = ["-o", str(root), "--limit", "40", "-s", "bers=[1e-5, 3e-5]"]
    command = [sys.executable, "-m", "faultbench", "run", str(CAMPAIGN), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=290)
    return read_results(root / "quickstart")


def accuracies(results: Results, scheme: str, ber: float) -> np.ndarray:
    rows = results.trials[(results.trials.scheme == scheme) & (results.trials.ber == ber)]
    return (rows.n_correct / rows.n_images).to_numpy()


@pytest.mark.parametrize("scheme", PROTECTED)
def test_every_protected_scheme_beats_relu_at_the_two_highest_bers(results: Results, scheme: str) -> None:
    for ber in results.cells.ber.unique():
        # Trials are paired: trial k meets the same flips in the weights under both.
        gains = accuracies(results, scheme, ber) - accuracies(results, "relu", ber)
        interval = mean_interval((gains + 1) / 2)  # a difference lies in -1..1
        assert 2 * interval.low - 1 > 0.1


def test_the_golden_accuracy_of_every_scheme_is_near_that_of_relu(results: Results) -> None:
    golden = results.cells.groupby("scheme").golden_accuracy.first()
    assert (golden - golden["relu"]).abs().max() <= 0.015
    assert golden["relu"] >= 0.98


def test_what_fitting_costs_tells_the_schemes_apart(results: Results) -> None:
    cost = results.overhead.set_index("scheme")
    assert cost.fit_injections["ft_clipact"] > 0
    assert (cost.fit_injections.drop("ft_clipact") == 0).all()
    assert set(cost.index[cost.fit_epochs > 0]) == {"fitact", "hyrelu_proact"}
    assert cost.bounds.to_dict() == {
        "relu": 0,
        "clip_act": 5,
        "clip_act_neuron": 2 * 32 * 64 + 2 * 64 * 16 + 256,
        "ranger": 5,
        "ft_clipact": 5,
        "hyrelu_proact": 4 + 256,
        "fitact": 2 * 32 * 64 + 2 * 64 * 16 + 256,
    }


def test_only_searched_and_trained_bounds_lie_below_the_profiled_maxima(results: Results) -> None:
    ratio = results.overhead.set_index("scheme").bounds_to_maxima
    assert np.isnan(ratio["relu"])
    assert ratio["clip_act"] == ratio["clip_act_neuron"] == ratio["ranger"] == 1
    assert (ratio[["ft_clipact", "fitact", "hyrelu_proact"]] < 1).all()
    assert 0.1 < ratio["ft_clipact"] < 0.8  # 20 to 60 % are published for VGG-16


def test_a_limited_run_says_so(results: Results) -> None:
    assert isinstance(results.cells, pd.DataFrame)
    assert results.cells.limited.all()
