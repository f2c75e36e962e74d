"""Runs of a lab's data and networks that are not as they should be: exit code 2 and one line, or right numbers."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from faultbench.campaign import load_campaign
from faultbench.cli.main import _exit_code
from faultbench.results.analysis.results import read_results
from faultbench.results.content_digests import IMAGES
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder, digests
from faultbench.runner.subjects.subject_keys import images_key
from faultbench.runner.tasks.kept_subjects import KeptSubjects
from faultbench.runner.tasks.tasks import GoldenRunTask
from faultbench.runner.tasks.worker import run_golden
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.labs import leaving_no_module, write

BARS = '''\
"""Bars of two kinds, as the option `broken` says."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from faultbench.datasets import Images, Splits
from faultbench.plugins.registry import dataset


@dataset("bars")
@dataclass(frozen=True)
class Bars:
    """Bars across or down: 33 to train on, 10 held out, 20 to test."""

    shape: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    n_classes: ClassVar[int] = 2
    n_test: ClassVar[int] = 20
    n_trained: ClassVar[int] = 33
    n_held_out: ClassVar[int] = 10
    broken: Literal["nothing", "column", "from_one", "int32", "noise", "nan", "augment"] = "nothing"

    def load(self):
        kind = torch.arange(63) % 2
        bars = (torch.arange(8) % 2).float().expand(8, 8)
        pixels = torch.where(kind.view(-1, 1, 1, 1) == 0, bars, bars.T).contiguous()
        if self.broken == "noise":
            pixels = pixels + torch.rand(63, 1, 8, 8)
        if self.broken == "nan":
            pixels[50, 0, 3, 3] = torch.nan
        labels = {"column": kind[:, None], "from_one": kind + 1, "int32": kind.int()}.get(self.broken, kind)
        parts = torch.tensor_split(torch.arange(63), (33, 43))
        return Splits(*(Images(pixels[part], labels[part]) for part in parts))

    def augment(self, pixels, generator):
        return pixels[:-1] if self.broken == "augment" else pixels
'''

NETS = '''\
"""Networks that train in ways of their own."""

from torch import nn
from torch.nn import functional as F

from faultbench.plugins.registry import model


@model("narrow")
def narrow(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """A norm over maps of one value, which takes no batch of one image in train mode."""
    return nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, n_classes))


class SideHead(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.first, self.last, self.side = nn.Linear(64, 16), nn.Linear(16, n_classes), nn.Linear(64, n_classes)

    def forward(self, x):
        logits = self.last(F.relu(self.first(x.flatten(1))))
        return (logits, self.side(x.flatten(1))) if self.training else logits


@model("side_head")
def side_head(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Two outputs in train mode."""
    return SideHead(n_classes)
'''

SCHEMES = '''\
"""A scheme that bounds nothing, in silence."""

from dataclasses import dataclass

from torch import full, nn

from faultbench.schemes.bounded_activations import Saturate
from faultbench.plugins.registry import scheme
from faultbench.schemes.scheme import Fitted


@scheme("boundless")
@dataclass(frozen=True)
class Boundless:
    """Infinite bounds."""

    def granularity_at(self, site, *, is_last):
        return "layer"

    def activation(self, bounds):
        return Saturate(bounds)

    def fit(self, fitting):
        return Fitted({site.name: full((), float("inf")) for site in fitting.network.sites})
'''

CAMPAIGN = """\
name: c
plugins: [bars_data, bars_nets, bars_schemes]
datasets: [bars]
models: [digits_cnn]
schemes: [relu]
bers: [1e-6]
trials: 1
training: {epochs: 1}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    sources = {"bars_data.py": BARS, "bars_nets.py": NETS, "bars_schemes.py": SCHEMES, "c.yaml": CAMPAIGN}
    write(tmp_path, sources)
    monkeypatch.chdir(tmp_path)
    with leaving_no_module(tmp_path):
        yield tmp_path


def run(*overrides: str, verb: str = "run") -> int:
    given = [part for override in overrides for part in ("-s", override)]
    how = ["--engine", "serial", "--progress", "plain"] if verb == "run" else []
    return _exit_code([verb, "c.yaml", "--trust-plugins", *how, *given], debug=False)


BROKEN = {
    "column": "train: labels must be one class number per image",
    "from_one": "train: labels must be 0 to 1, the numbers of 2 classes; given 1 to 2",
    "int32": "train: labels must be int64; given int32; use labels.long()",
    "noise": "train: two loads give different images or labels",
    "nan": "test: NaN, infinite or huge values in image 7",
    "augment": "augment must give images as it gets them",
}


@pytest.mark.parametrize(("broken", "message"), BROKEN.items(), ids=BROKEN)
def test_data_that_break_a_promise_end_the_run_before_anything_is_trained(
    broken: str, message: str, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"datasets=[{{name: bars, broken: {broken}}}]") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("faultbench: data set 'bars': ")
    assert message in last
    assert not list((lab / "results").rglob("weights-*"))


def test_a_network_with_two_outputs_in_train_mode_is_refused_by_plan_and_run(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("plan", "run"):
        assert run("models=[digits_cnn, side_head]", verb=verb) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("faultbench: train side_head on bars: the network gives a tuple of 2 in train mode")
    assert not list((lab / "results").rglob("weights-*"))  # digits_cnn would have come first


def test_a_last_image_by_itself_crashes_no_training(lab: Path) -> None:
    assert run("models=[narrow]", "training={epochs: 1, batch: 32}") == 0
    assert read_results(lab / "results" / "c").cells.trials.tolist() == [1]


def test_a_worker_on_this_machine_whose_load_gives_other_test_images_is_refused(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("training={epochs: 1}") == 0
    monkeypatch.setattr("faultbench.runner.tasks.worker._kept", KeptSubjects())  # as in a process of its own
    subject = load_campaign("c.yaml", ["training={epochs: 1}"]).subjects[0]
    artifacts = lab / "results" / "c" / "artifacts"
    made = digests(SubjectBuilder(ArtifactStore(artifacts), SilentReporter()), [subject])
    task = GoldenRunTask(
        subject=subject,
        artifacts=artifacts,
        memory_bytes=0,
        bers=(1e-6,),
        made_of={**made, IMAGES: {images_key(subject): "0" * 64}},
        host=socket.gethostname(),
    )
    with pytest.raises(FaultbenchError, match=r"this worker has .*load must give the same in every process"):
        run_golden(task)
    assert run_golden(replace(task, made_of=made)).golden.n_images == 20


def test_infinite_bounds_of_a_labs_scheme_are_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schemes=[boundless]") == 2
    assert "bounds of site features.1: 1 of 1 are NaN or infinite" in capsys.readouterr().err.splitlines()[-1]
