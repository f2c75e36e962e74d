"""`plan`, a run, the manifest and the report name the part of a network's memory that no fault hits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import faultbench as fb
from faultbench.campaign import Campaign, load_campaign
from faultbench.cli.main import faultbench
from faultbench.output.report import render
from faultbench.results.folder import MemoryEntry, memory_sentences
from faultbench.results.merge import merge
from faultbench.runner.subjects.components import check_components
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import leaving_no_module, write

NETS = '''\
"""Networks of a lab's own that keep weights in every way."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from faultbench.plugins.registry import model


class OwnConv(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, 3, 3) / (9 * n_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, padding=1)


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.scale = nn.BatchNorm2d(32), nn.Parameter(torch.ones(32, 1, 1))
        self.register_buffer("order", torch.arange(32))

    def forward(self, x):
        return self.scale * self.norm(x)[:, self.order]


def _convs(conv, shape, n_classes, between=nn.Identity):
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, n_classes)]
    return nn.Sequential(conv(shape[0], 32), between(), nn.ReLU(), conv(32, 32), nn.ReLU(), *head)


def _conv(n_in, n_out):
    return nn.Conv2d(n_in, n_out, 3, padding=1)


@model("torchs")
def torchs(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _convs(_conv, shape, n_classes)


@model("own")
def own(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _convs(OwnConv, shape, n_classes)


@model("shifted")
def shifted(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _convs(_conv, shape, n_classes, Shifted)


class Filtered(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(32, 8, 5, dtype=torch.complex64))

    def forward(self, x):
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.filter, s=(8, 8))


@model("filtered")
def filtered(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _convs(_conv, shape, n_classes, Filtered)


def _linears(shape, n_classes, change):
    layers = [nn.Linear(shape[0] * shape[1] * shape[2], 64), nn.Linear(64, n_classes)]
    for layer in layers:
        change(layer)
    return nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1])


@model("plain")
def plain(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _linears(shape, n_classes, lambda layer: None)


@model("pruned")
def pruned(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _linears(shape, n_classes, lambda layer: prune.l1_unstructured(layer, "weight", 0.3))


@model("normed")
def normed(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    return _linears(shape, n_classes, parametrizations.weight_norm)


@model("overwritten")
def overwritten(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    def change(layer):
        layer.register_buffer("kept", layer.weight.detach().clone())

        def hook(module, _):
            module.weight.data.copy_(module.kept)

        layer.register_forward_pre_hook(hook)

    return _linears(shape, n_classes, change)
'''

CAMPAIGN = """\
name: lab
plugins: [nets]
datasets: [digits]
models: [MODELS]
schemes: [relu]
faults: [{name: bernoulli, targets: [TARGETS]}]
bers: [1e-2]
trials: 3
training: {epochs: 3}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    with leaving_no_module(tmp_path):
        yield tmp_path


def campaign(lab: Path, models: str, targets: str = "weights, biases, bounds") -> Campaign:
    text = CAMPAIGN.replace("MODELS", models).replace("TARGETS", targets)
    write(lab, {"nets.py": NETS, "lab.yaml": text})
    return load_campaign(lab / "lab.yaml")


def memory(lab: Path, models: str, targets: str = "weights, biases, bounds") -> MemoryEntry:
    (built,) = check_components(campaign(lab, models, targets)).values()
    return built.memory


def test_a_convolution_of_ones_own_counts_as_torchs_does(lab: Path) -> None:
    assert memory(lab, "own").hit == memory(lab, "torchs").hit
    assert sum(memory(lab, "own").hit.values()) == 347_456


BEFORE = "before each use: 1.weight, 3.weight"
NORM, SCALE, ORDER = 2 * 32 * 32, 32 * 32, 64 * 32


@pytest.mark.parametrize(
    ("targets", "hit", "outside"),
    [
        (
            "weights, biases, bounds",
            ("weights", "biases"),
            {"others": SCALE, "norm_parameters": NORM, "norm_statistics": NORM, "integers": ORDER},
        ),
        ("all", ("weights", "biases", "norm_parameters", "norm_statistics", "others"), {"integers": ORDER}),
        ("others", ("others",), None),
    ],
)
def test_every_kind_is_hit_or_outside(
    lab: Path, targets: str, hit: tuple[str, ...], outside: dict[str, int] | None
) -> None:
    found = memory(lab, "shifted", targets)
    assert set(found.hit) == set(hit)
    assert outside is None or found.outside == outside
    whole = 347_456 + SCALE + 2 * NORM + ORDER
    assert sum(found.hit.values()) + sum(found.outside.values()) == whole


@pytest.mark.slow
def test_plan_a_run_the_manifest_and_the_report_say_what_lies_outside(lab: Path) -> None:
    chosen = campaign(lab, "shifted, pruned")
    outside = f"no fault hits: norm_parameters {NORM:,} bits, norm_statistics {NORM:,} bits, others {SCALE:,} bits"
    sentences = [
        f"outside of the targets, where {outside}, integers {ORDER:,} bits (digits/shifted/relu/q15.16)",
        f"memory holds weights as they are used, which the network computes {BEFORE} (digits/pruned/relu/q15.16)",
    ]
    command = ["plan", str(lab / "lab.yaml"), "--trust-plugins", "-o", str(lab / "out")]
    planned = CliRunner().invoke(faultbench, command, catch_exceptions=False)
    assert set(sentences) <= {*planned.stdout.splitlines()}
    results = fb.run(chosen, lab / "out", engine="serial", limit=1, quiet=True)
    assert memory_sentences(results.manifest.memory) == sentences
    page = render(results)
    assert all(f"{sentence[0].upper()}{sentence[1:]}." in page for sentence in sentences)
    merge(lab / "merged", [results.folder])
    assert json.loads((lab / "merged" / "manifest.json").read_text())["memory"] == recorded(results.folder)


def recorded(folder: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text())["memory"]
    return sorted(entries, key=lambda entry: str(entry["subject"]))


def test_networks_that_compute_their_weights_fall_as_a_plain_one_does(lab: Path) -> None:
    results = fb.run(campaign(lab, "plain, pruned, normed", "weights"), lab / "out", engine="serial", quiet=True)
    cells = results.cells.set_index("model")
    assert (cells.golden_accuracy > 0.5).all()
    assert (cells.accuracy_mean < 0.2).all()


def test_a_weight_that_is_overwritten_in_each_pass_stops_plan_and_run(lab: Path) -> None:
    message = (
        r"^overwritten: faults would do nothing .*: 1\.weight is overwritten while the network runs; 3\.weight is "
    )
    with pytest.raises(FaultbenchError, match=message):
        check_components(campaign(lab, "overwritten"))
    check_components(campaign(lab, "overwritten", "biases"))


def test_a_parameter_that_is_no_float32_is_outside_or_refused(lab: Path) -> None:
    results = fb.run(campaign(lab, "filtered"), lab / "out", engine="serial", limit=1, quiet=True)
    (entry,) = results.manifest.memory
    assert entry.outside == {"others": 2 * 32 * 32 * 8 * 5}
    with pytest.raises(
        FaultbenchError, match=r"^filtered: stored tensor '1\.filter' is torch\.complex64; only float32"
    ):
        check_components(campaign(lab, "filtered", "all"))


def test_sentences_name_a_few_subjects_and_count_the_others() -> None:
    entries = [MemoryEntry(subject=str(n), name=f"n{n}", hit={"weights": 1}, outside={"others": 32}) for n in range(5)]
    assert memory_sentences(entries) == [
        "outside of the targets, where no fault hits: others 32 bits (n0, n1, n2 and 2 more)"
    ]
