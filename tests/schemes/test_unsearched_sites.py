"""Sites that no layer feeds keep their profiled maximum, since a search by layers injects nothing there."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from torch import Tensor, nn

import faultbench as fb
from faultbench.cli.main import _exit_code
from faultbench.networks.tracing.trace import trace
from faultbench.output.report import render
from faultbench.results.analysis.results import read_results
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.fitting_checkpoint import FittingCheckpoint
from faultbench.schemes.ft_clipact import FtClipAct
from faultbench.schemes.scheme import Fitted, Fitting
from tests.builders.fittings import on_noise
from tests.builders.labs import leaving_no_module, write
from tests.builders.networks import SHAPE, randomise, some_images

SCHEME = FtClipAct(injections=1, rates=(1e-3, 1e-2))


class Dense(nn.Module):
    """As a dense block begins: between the first two activations lies batch norm, and no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.norm = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)
        self.second, self.inner, self.third = nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()
        self.linear = nn.Linear(16, 3)
        randomise(self, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.norm(self.first(self.conv(x))))
        return self.linear(self.third(self.inner(x)).flatten(1))


def dense() -> Fitting:
    return on_noise(network=trace(Dense(), SHAPE))


def test_a_site_that_no_layer_feeds_keeps_its_profiled_maximum() -> None:
    fitting = dense()
    assert [site.feeding for site in fitting.network.sites] == [("conv",), (), ("inner",)]
    fitted = SCHEME.fit(fitting)
    assert fitted.bounds["second"].item() == fitting.maxima["second"].max().item()
    assert fitted.unsearched == ("second",)
    assert fitted.n_injections > 0
    assert "site second: bounded at the profiled maximum" in str(fitted.remark)


def test_a_search_over_the_whole_network_reaches_every_site() -> None:
    fitted = FtClipAct(search_scope="network", injections=1, rates=(1e-3, 1e-2)).fit(dense())
    assert fitted.unsearched == ()
    assert fitted.remark is None


def test_an_interrupted_fit_goes_on_with_what_it_knows_of_sites(tmp_path: Path) -> None:
    whole = SCHEME.fit(dense())
    store = ArtifactStore(tmp_path)
    FittingCheckpoint(store, "partial", "fit").save(
        Fitted({name: whole.bounds[name] for name in ("first", "second")}, unsearched=whole.unsearched)
    )
    fitting = dense()
    object.__setattr__(fitting, "checkpoint", FittingCheckpoint(store, "partial", "fit"))
    again = SCHEME.fit(fitting)
    assert again.unsearched == ("second",)
    assert again.bounds == whole.bounds


def test_many_sites_are_named_in_one_short_line() -> None:
    remark = Fitted(unsearched=(*(f"site{number}" for number in range(20)), "x\n" * 10_000)).remark
    assert remark is not None
    assert "sites site0, site1, site2, site3, site4, site5 and 15 more" in remark
    assert len(str(Fitted(unsearched=("x\n" * 10_000,)).remark)) < 400


def test_protect_warns_of_it() -> None:
    with pytest.warns(UserWarning, match="no fault of the search reaches site second"):
        fb.protect(Dense(), FtClipAct(injections=1), some_images(20))


NET = '''\
"""A network that begins like a dense block."""

from torch import nn

from faultbench.plugins.registry import model


@model("dense_net")
def dense_net(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Batch norm alone between two activations."""
    before = (nn.Conv2d(shape[0], 4, 3, 2), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(*before, nn.Flatten(), nn.Linear(36, n_classes))
'''

CAMPAIGN = """\
name: dense
plugins: [dense_models]
datasets: [digits]
models: [dense_net]
schemes: [relu, {name: ft_clipact, injections: 1, search_images: 20, label: searched}]
formats: [float32, q15.16]
bers: [1e-4]
trials: 2
images: 20
training: {epochs: 1}
"""


@pytest.mark.slow
def test_the_run_the_manifest_and_the_report_name_the_site(tmp_path: Path) -> None:
    write(tmp_path, {"dense_models.py": NET, "dense.yaml": CAMPAIGN})
    arguments = ["run", str(tmp_path / "dense.yaml"), "-o", str(tmp_path), "--engine=serial", "--progress=plain"]
    for _ in range(2):  # the second time from kept bounds
        err = io.StringIO()
        with leaving_no_module(tmp_path), contextlib.redirect_stderr(err):
            assert _exit_code([*arguments, "--trust-plugins"], debug=False) == 0, err.getvalue()
        warning = "dense_net/searched on digits: no fault of the search reaches site 3: bounded at the profiled maximum"
        (said,) = (line for line in err.getvalue().splitlines() if warning in line)
        recorded = json.loads((tmp_path / "dense" / "manifest.json").read_text())["warnings"]
        assert [said.removeprefix("warning: ")] == recorded
    assert warning in render(read_results(tmp_path / "dense"))
