"""What a results folder was made of: a run goes on only with the images, weights and bounds that it began with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from faultbench.campaign import Campaign, load_campaign
from faultbench.datasets import Images, Splits
from faultbench.networks.models.digits_cnn import digits_cnn
from faultbench.results.content_digests import (
    digests_by_key,
    join_digests,
    labelled_digests,
    labels_in_common,
    require_equal,
)
from faultbench.results.merge import merge
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import RunOptions
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.tasks.shards import Shard
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter

CAMPAIGN = """
name: t
datasets: [digits]
models: [digits_cnn]
schemes: [relu, {name: ranger}]
bers: [1e-5]
trials: 2
images: 20
training: {schedule: fast, epochs: 1}
"""


def campaign(folder: Path, *overrides: str) -> Campaign:
    (folder / "t.yaml").write_text(CAMPAIGN, encoding="utf-8")
    return load_campaign(folder / "t.yaml", overrides)


def going_on(folder: Path, *overrides: str, shard: Shard | None = None) -> Path:
    options = RunOptions() if shard is None else RunOptions(shard=shard)
    return run_campaign(
        campaign(folder, *overrides), folder, engine=Serial(1), reporter=SilentReporter(), options=options
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return going_on(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """The place of a copy of the finished folder."""
    shutil.copytree(finished, tmp_path / "t")
    return tmp_path


def manifest(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "t" / "manifest.json").read_text())
    return found


def rewrite(root: Path, **changes: Any) -> None:
    (root / "t" / "manifest.json").write_text(json.dumps({**manifest(root), **changes}))


def changed(root: Path, kind: str) -> None:
    """Change one value of an artifact by its last digits: too little for the golden run to show."""
    store = ArtifactStore(root / "t" / "artifacts")
    name = max(path.stem for path in store.folder.glob(f"{kind}-*"))
    artifact = store.load(name)
    assert artifact is not None
    tensors = {key: tensor.clone() for key, tensor in artifact.tensors.items()}
    first = next(tensor for tensor in tensors.values() if tensor.is_floating_point() and tensor.numel())
    first.view(-1)[0] += 2**-12
    store.save(name, Artifact(tensors, artifact.notes))


def test_a_run_says_what_it_was_made_of_and_goes_on_with_it(root: Path) -> None:
    before = manifest(root)
    assert {kind: len(keys) for kind, keys in before["made_of"].items()} == {
        "test images": 1, "stored weights": 1, "buffers": 1, "fitted bounds": 2,
    }  # fmt: skip
    going_on(root, "trials=3")
    assert manifest(root)["made_of"] == before["made_of"]
    assert manifest(root)["data"] == before["data"]


@pytest.mark.parametrize(
    ("kind", "named"),
    [("weights", "stored weights of digits/digits_cnn/q15.16"), ("bounds", "fitted bounds of digits/digits_cnn/")],
)
def test_resuming_with_other_weights_or_bounds_is_refused_and_nothing_is_lost(
    root: Path, kind: str, named: str
) -> None:
    before = manifest(root)
    changed(root, kind)
    for _ in range(2):  # the refusal does not take the memory away
        with pytest.raises(FaultbenchError, match=f"made with other {named}.*; bring back what it was made with"):
            going_on(root, "trials=3")
    assert manifest(root)["made_of"] == before["made_of"]
    assert manifest(root)["data"] == before["data"]


def test_a_folder_that_says_it_by_label_alone_is_held_to_it(root: Path) -> None:
    rewrite(root, made_of={})
    changed(root, "weights")
    with pytest.raises(FaultbenchError, match="made with other stored weights of digits/digits_cnn"):
        going_on(root, "trials=3")


def test_a_folder_that_says_nothing_goes_on(root: Path) -> None:
    whole = manifest(root)
    del whole["made_of"]
    (root / "t" / "manifest.json").write_text(json.dumps({**whole, "data": {}}))
    going_on(root, "trials=3")
    assert manifest(root)["made_of"]


def test_another_shard_of_the_same_folder_is_held_to_it(root: Path) -> None:
    changed(root, "weights")
    with pytest.raises(FaultbenchError, match="made with other stored weights"):
        going_on(root, "trials=4", shard=Shard(2, 2))


def test_resuming_with_other_images_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faultbench.runner.subjects import builder as subjects

    def other(dataset: Any) -> Splits:
        found = original(dataset)
        pixels = found.test.first(len(found.test)).pixels.clone()
        pixels[0] = 1 - pixels[0]
        return Splits(found.train, found.calibration, Images(pixels, found.test.labels))

    original = subjects.dataset_splits
    monkeypatch.setattr(subjects, "dataset_splits", other)
    with pytest.raises(FaultbenchError, match="made with other test images of digits: SHA-256"):
        going_on(root, "trials=3")


def test_a_label_that_means_other_weights_now_is_no_contradiction(root: Path) -> None:
    torch.manual_seed(3)
    save_file(digits_cnn((1, 8, 8), 10).state_dict(), root / "w.safetensors")
    given = "models=[{name: digits_cnn, weights: w.safetensors}]"
    going_on(root, given)
    assert len(manifest(root)["made_of"]["stored weights"]) == 2
    going_on(root, "trials=3")  # and back again, to weights that the folder still remembers
    changed(root, "weights")
    with pytest.raises(FaultbenchError, match="made with other stored weights"):
        going_on(root, "trials=4")


def test_weights_that_change_while_a_campaign_waits_are_refused(tmp_path: Path) -> None:
    state = digits_cnn((1, 8, 8), 10).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    read = campaign(tmp_path, "models=[{name: digits_cnn, weights: w.safetensors}]")
    state = load_file(tmp_path / "w.safetensors")
    save_file({name: tensor + 1 for name, tensor in state.items()}, tmp_path / "w.safetensors")
    with pytest.raises(FaultbenchError, match=r"w\.safetensors: changed since the campaign was read"):
        run_campaign(read, tmp_path, engine=Serial(1), reporter=SilentReporter())
    assert not (tmp_path / "t").exists()


def test_parts_trained_apart_are_not_merged(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(root / "t", other / "t")
    merge(tmp_path / "same" / "t", [root / "t", other / "t"])
    shutil.rmtree(other / "t" / "journal")
    (other / "t" / "manifest.json").unlink()
    changed(other, "weights")
    for path in (other / "t").iterdir():
        if path.name != "artifacts":
            path.unlink() if path.is_file() else shutil.rmtree(path)
    going_on(other, "trials=4", shard=Shard(2, 2))
    with pytest.raises(FaultbenchError, match=r"cannot be merged with .*: made with other stored weights of digits/"):
        merge(tmp_path / "merged" / "t", [root / "t", other / "t"])
    assert not (tmp_path / "merged").exists()


class Meddling(Serial):
    """The serial engine, in which a file of the results folder changes before the worker begins."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__(1)
        self._meddle = meddle

    def submit(self, ticket: int, function: Callable[[Any], Any], task: Any) -> None:
        self._meddle()
        super().submit(ticket, function, task)


@pytest.mark.parametrize("kind", ["weights", "bounds"])
def test_a_worker_that_finds_other_weights_or_bounds_is_refused(root: Path, kind: str) -> None:
    engine = Meddling(lambda: changed(root, kind))
    what = "stored weights" if kind == "weights" else "fitted bounds"
    with pytest.raises(FaultbenchError, match=f"this worker has other {what} of digits/digits_cnn.*give every worker"):
        run_campaign(campaign(root, "trials=3", "bers=[1e-4]"), root, engine=engine, reporter=SilentReporter())


def test_a_worker_whose_copy_of_the_weights_differs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(digits_cnn((1, 8, 8), 10).state_dict(), path)
    engine = Meddling(lambda: save_file(digits_cnn((1, 8, 8), 10).state_dict(), path))
    given = campaign(tmp_path, "models=[{name: digits_cnn, weights: w.safetensors}]")
    with pytest.raises(FaultbenchError, match=r"w\.safetensors: changed since the campaign was read: SHA-256"):
        run_campaign(given, tmp_path, engine=engine, reporter=SilentReporter())


def test_a_worker_elsewhere_that_has_other_images_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faultbench.runner.subjects.subject_keys import images_key
    from faultbench.runner.tasks import worker
    from faultbench.runner.tasks.tasks import GoldenRunTask

    monkeypatch.setattr(worker.socket, "gethostname", lambda: "elsewhere")
    monkeypatch.setattr(
        worker, "digests", lambda *_, with_images, **__: {"test images": {image: "b" * 64}} if with_images else {}
    )
    subject = campaign(root, "bers=[1e-4]").subjects[0]
    image = images_key(subject)
    task = GoldenRunTask(
        subject=subject, artifacts=root / "t" / "artifacts", memory_bytes=0, bers=(1e-4,), host="here",
        made_of={"test images": {image: "a" * 64}},
    )  # fmt: skip
    with pytest.raises(FaultbenchError, match=r"this worker has other test images of digits: SHA-256 a{16}… there"):
        worker.run_golden(task)


@pytest.mark.parametrize("junk", [None, 7, [], {"test images": 7}, {"test images": {"a": 7}}, {"other": {"a": "b"}}])
def test_what_a_manifest_says_in_another_shape_counts_as_unsaid(junk: Any) -> None:
    assert not any(digests_by_key({"made_of": junk}).values())
    labels = labels_in_common({"cells": junk}, {"s": ("i", "n")}) | {"a": ("test images", "i")}
    assert labelled_digests({"data": junk}, labels) == {}


def test_things_are_equal_by_kind_and_key_alone() -> None:
    require_equal("here:", {"test images": {"a": "1"}}, {"test images": {"b": "2"}, "stored weights": {"a": "3"}}, "")
    assert join_digests([{"x": {"a": "1"}}, {"x": {"b": "2"}}]) == {"x": {"a": "1", "b": "2"}}
    with pytest.raises(FaultbenchError, match=r"^here: other test images of an \\x1b\[31mname: SHA-256 1… there, 2…"):
        require_equal("here:", {"test images": {"a": "1"}}, {"test images": {"a": "2"}}, "", {"a": "an \x1b[31mname"})
