"""Tests of devices: which one is chosen, which results cannot share a folder, and that a card gets all its tensors."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from faultbench.campaign import Campaign, parse_campaign
from faultbench.datasets import Images
from faultbench.datasets.images import mirror_randomly, shift_randomly
from faultbench.memory.fault_space import StoredTensor
from faultbench.memory.formats.codec import Codec
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32, bfloat16, float16
from faultbench.memory.injection import Patch, _add_patches, _Hit, apply_patches
from faultbench.networks.tracing.trace import trace
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.records import Golden
from faultbench.results.manifest_file import read_manifest, recorded_device, save_manifest
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import RunOptions
from faultbench.runner.subjects.components import build_components
from faultbench.runner.tasks.tasks import GoldenRunTask, TrialChunk
from faultbench.runner.tasks.worker import run_chunk
from faultbench.schemes.bounded_activations import ClipToZero, Saturate, Smooth
from faultbench.schemes.fitting.activation_recorder import _Recorder, _TopRecorder
from faultbench.system import devices
from faultbench.system.devices import in_tf32, n_workers_on, resolve_device, to_device
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.networks import SHAPE, Residual
from tests.builders.results import ArtificialCampaign

WITHOUT_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a CUDA card")
WITH_CARD = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")]

CAMPAIGN = """
name: small
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-5, 1e-4]
trials: 3
training: {epochs: 1}
"""

N_IMAGES_APART = 5
"""Images of 500 whose class may depend on the last bits of a faulty network's logits."""


def campaign(text: str = CAMPAIGN) -> Campaign:
    return parse_campaign(text, Path("small.yaml"))


def ran(root: Path, device: str, text: str = CAMPAIGN) -> Path:
    return run_campaign(
        campaign(text), root, engine=Serial(1), reporter=SilentReporter(), options=RunOptions(device=device)
    )


def from_a_card(folder: Path) -> None:
    """Change the manifest of a finished folder to say that a card ran it."""
    manifest = read_manifest(folder)
    manifest["execution"]["device"] = "cuda"
    save_manifest(folder, manifest)


@pytest.mark.parametrize(("wanted", "recorded"), [("cpu", None), ("cpu", "cpu"), ("auto", "cpu")])
def test_the_processor_is_always_there(wanted: str, recorded: str | None) -> None:
    assert resolve_device(wanted, recorded) == "cpu"


@pytest.mark.parametrize(("wanted", "recorded"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_results_of_two_devices_do_not_mix(wanted: str, recorded: str) -> None:
    with pytest.raises(FaultbenchError, match=f"^--device {wanted}: the results there are from {recorded}, .*--fresh"):
        resolve_device(wanted, recorded)


@WITHOUT_CARD
@pytest.mark.parametrize(("wanted", "recorded"), [("cuda", None), ("cuda", "cuda"), ("auto", "cuda")])
def test_a_card_that_is_not_there_is_said(wanted: str, recorded: str | None) -> None:
    with pytest.raises(FaultbenchError, match=r"^--device cuda: torch finds no CUDA card here; .*give --device cpu"):
        resolve_device(wanted, recorded)


@pytest.mark.slow
@WITHOUT_CARD
def test_auto_is_the_processor_where_there_is_no_card_and_the_manifest_says_so(tmp_path: Path) -> None:
    assert recorded_device(tmp_path / "small") is None
    assert recorded_device(ran(tmp_path, "auto")) == "cpu"


@pytest.mark.slow
@WITHOUT_CARD
def test_nothing_is_written_or_put_aside_for_a_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError, match="no CUDA card"):
        ran(tmp_path, "cuda")
    assert not list(tmp_path.iterdir())
    folder = ran(tmp_path, "cpu")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for options, fresh in ((RunOptions(device="cuda"), True), (RunOptions(device="cuda"), False)):
        with pytest.raises(FaultbenchError, match="--device cuda: "):
            run_campaign(
                campaign(), tmp_path, engine=Serial(1), reporter=SilentReporter(), options=options, fresh=fresh
            )
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_results_from_a_card_are_not_gone_on_with_on_the_processor(tmp_path: Path) -> None:
    from_a_card(ran(tmp_path, "cpu"))
    with pytest.raises(FaultbenchError, match=r"^--device cpu: the results there are from cuda"):
        ran(tmp_path, "cpu", CAMPAIGN.replace("trials: 3", "trials: 4"))


def test_a_manifest_without_a_device_of_ours_names_none(tmp_path: Path) -> None:
    folder = ArtificialCampaign().write_manifest(tmp_path)
    assert recorded_device(folder) is None
    manifest = read_manifest(folder)
    for execution in ({}, {"device": ["x"]}, {"device": "tpu"}):
        save_manifest(folder, {**manifest, "execution": execution})
        assert recorded_device(folder) is None, execution


def test_what_is_no_manifest_is_refused_when_its_device_is_asked_for(tmp_path: Path) -> None:
    folder = ArtificialCampaign().write_manifest(tmp_path)
    for manifest in ({}, {**read_manifest(folder), "execution": 3}):
        save_manifest(folder, manifest)
        with pytest.raises(FaultbenchError, match=r"no faultbench manifest: (campaign|execution): "):
            recorded_device(folder)


@WITHOUT_CARD
def test_a_worker_without_a_card_fails_and_quarantines_no_trial() -> None:
    golden = Golden(subject="x", n_images=1, n_correct=1, n_bits=1, top1_digest="00")
    subject, artifacts = campaign().subjects[0], Path("nowhere")
    task = GoldenRunTask(subject=subject, artifacts=artifacts, memory_bytes=0, bers=(1e-5,), device="cuda")
    with pytest.raises(EngineError, match="cannot run the chunk: --device cuda"):
        run_chunk(TrialChunk(golden_task=task, golden=golden, jobs=()))


# FakeTensorMode applies torch's rules for shapes and devices without a card, and refuses operations on two devices.


@pytest.fixture
def _replacing_parameters() -> Iterator[None]:
    """Make Module.to replace parameters inside the block, because it cannot change a fake tensor in place."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.mark.usefixtures("_replacing_parameters")
def test_what_is_installed_in_a_network_on_a_card_goes_there() -> None:
    network = trace(Residual(), SHAPE)
    made = [
        Smooth(torch.zeros(network.sites[0].shape), steepness=20.0),
        Saturate(torch.zeros(())),
        ClipToZero(torch.ones(())),
    ]
    with FakeTensorMode(allow_non_fake_inputs=True):
        network.to("cuda")
        for site, activation in zip(network.sites, made, strict=True):
            network.install(site, activation)
        assert network(torch.empty(4, *SHAPE, device="cuda")).device.type == "cuda"
        assert {parameter.tensor.device.type for parameter in network.parameters()} == {"cuda"}


@pytest.mark.usefixtures("_replacing_parameters")
@pytest.mark.parametrize(("tf32", "is_last"), [(False, False), (True, True)])
def test_filters_lie_as_the_device_computes_fast(tf32: bool, is_last: bool) -> None:
    def lies_last(module: nn.Module) -> bool:
        (filters,) = {p.is_contiguous(memory_format=torch.channels_last) for p in module.parameters() if p.dim() == 4}
        return filters

    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    assert not lies_last(to_device(module, "cpu", tf32=tf32))  # the CPU keeps the layout
    module.to(memory_format=torch.channels_last)
    assert lies_last(to_device(module, "cpu", tf32=tf32))
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert lies_last(to_device(module, "cuda", tf32=tf32)) == is_last


def test_tf32_is_for_the_block_alone() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with in_tf32():
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (True, True)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


@pytest.mark.parametrize(
    ("model", "images"),
    [("digits_cnn", 2048), ("resnet20", 2048), ("alexnet", 2048), ("vgg16", 512), ("resnet50", 128)],
)
def test_a_card_is_given_as_many_images_as_keep_it_busy(model: str, images: int) -> None:
    text = CAMPAIGN.replace("[digits]", "[cifar10]").replace("digits_cnn", model)
    built = build_components(campaign(text).subjects[0])
    assert built.batch(built.untrained_network, "cuda") == images
    assert built.batch(built.untrained_network) == (256 if model == "alexnet" else 64)
    fixed = build_components(campaign(text + "batch: 50\n").subjects[0])
    assert fixed.batch(fixed.untrained_network, "cuda") == fixed.batch(fixed.untrained_network) == 50


@pytest.mark.parametrize("n_cores", [1, 2, 16])
def test_processes_take_turns_on_a_card_so_two_are_enough(n_cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_count", lambda: n_cores)
    assert (n_workers_on("cpu"), n_workers_on("cuda")) == (n_cores, min(n_cores, 2))


def test_profiles_of_a_network_on_a_card_are_the_processors() -> None:
    (site, *_) = trace(Residual(), SHAPE).sites
    with FakeTensorMode(allow_non_fake_inputs=True):
        seen = torch.empty(4, *site.shape, device="cuda")
        maximum, top = _Recorder(site), _TopRecorder(site, "layer", 0.9, 4)
        for recorder in (maximum, top):
            assert recorder(recorder(seen)).device.type == "cuda"
        assert maximum.recorded().device.type == top.quantile().device.type == "cpu"


@pytest.mark.parametrize("codec", [FixedPoint(15, 16), Float32(), float16(), bfloat16()])
def test_flips_are_made_where_the_words_are(codec: Codec) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = [torch.empty(8, 4, 3, 3, device="cuda"), torch.empty(8, device="cuda")]
        tensors[0] = tensors[0].contiguous(memory_format=torch.channels_last)
        owners, words, masks = np.array([0, 1]), np.array([1, 5]), np.array([1, 2], dtype=np.int32)
        found: list[dict[int, Patch]] = [{}, {}]
        stored = [StoredTensor("w", tensor, codec) for tensor in tensors]
        _add_patches(stored, [_Hit(number, owners, words, masks) for number in range(2)], found)
        with apply_patches(patch for of_map in found for patch in of_map.values()):
            assert [len(of_map) for of_map in found] == [2, 2]


def test_images_are_varied_where_they_are() -> None:
    generator = torch.Generator()
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = Images(torch.empty(6, 3, 8, 8, dtype=torch.uint8, device="cuda"), torch.empty(6, dtype=torch.int64))
        pixels = images.select(torch.tensor([1, 3])).pixels
        assert mirror_randomly(shift_randomly(pixels, generator, margin=2), generator).device.type == "cuda"


def test_grey_values_are_looked_up_where_dividing_differs() -> None:
    from faultbench.datasets.images import _LEVELS

    grey = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(_LEVELS, Images(grey.view(1, 1, 16, 16), torch.zeros(1)).pixels.flatten())
    assert not torch.equal(_LEVELS, grey.float() * (1 / 255))  # as a card would have it


class TestOnACard:
    """Comparison of one campaign on the CPU and on a card."""

    pytestmark = WITH_CARD

    @pytest.fixture(scope="class")
    def folders(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        first = ran(tmp_path_factory.mktemp("cpu"), "cpu")
        root = tmp_path_factory.mktemp("cuda")
        (root / "small").mkdir()
        (root / "small" / "manifest.json").write_text(
            json.dumps({k: v for k, v in read_manifest(first).items() if k != "execution"}), encoding="utf-8"
        )
        (root / "small" / "artifacts").symlink_to(first / "artifacts")
        return {"cpu": first, "cuda": ran(root, "cuda")}

    def test_faults_are_equal_and_classes_nearly(self, folders: dict[str, Path]) -> None:
        on_cpu, on_cuda = (read_journal(folders[device] / "journal").trials for device in ("cpu", "cuda"))
        assert on_cpu.keys() == on_cuda.keys()
        for name, trial in on_cpu.items():
            assert trial.flips_digest == on_cuda[name].flips_digest
            assert abs(trial.n_correct - on_cuda[name].n_correct) <= N_IMAGES_APART

    def test_staging_changes_no_row(self, folders: dict[str, Path], tmp_path: Path) -> None:
        options = RunOptions(device="cuda", memory_bytes=0)
        (tmp_path / "small").mkdir()
        (tmp_path / "small" / "artifacts").symlink_to(folders["cpu"] / "artifacts")
        (tmp_path / "small" / "manifest.json").write_bytes((folders["cuda"] / "manifest.json").read_bytes())
        whole = run_campaign(campaign(), tmp_path, engine=Serial(1), reporter=SilentReporter(), options=options)
        assert read_journal(whole / "journal").trials == read_journal(folders["cuda"] / "journal").trials

    @pytest.mark.parametrize("images", ["200", "auto", "{per_trial: 8}"])
    def test_every_scheme_is_fitted_and_runs_there(self, tmp_path: Path, images: str) -> None:
        schemes = "[relu, clip_act, ranger, ft_clipact, fitact, hyrelu_proact]"
        text = CAMPAIGN.replace("[relu, clip_act]", schemes).replace("training:", f"images: {images}\ntraining:")
        found = read_journal(ran(tmp_path, "cuda", text) / "journal")
        assert (len(found.trials), len(found.quarantined), len(found.goldens)) == (36, 0, 6)

    def test_a_network_learns_there(self, tmp_path: Path) -> None:
        folder = ran(tmp_path, "cuda", CAMPAIGN.replace("epochs: 1", "epochs: 8"))
        assert min(golden.n_correct for golden in read_journal(folder / "journal").goldens.values()) > 450
