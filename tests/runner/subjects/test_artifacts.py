"""Artifacts: what is saved comes back equal, what is damaged counts as absent, nothing is half written."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.system.errors import EngineError

NAME = "bounds-0123"

SOME = Artifact(
    {
        "conv.weight": torch.tensor([[1.0, -2.5], [torch.nan, torch.inf]]),
        "bn.num_batches_tracked": torch.tensor(7),
        "bounds": torch.tensor(3.25),
        "empty": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
    },
    {"made_from": "fit × on digits", "fit_s": "1.234"},
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def same(a: Artifact | None, b: Artifact) -> bool:
    return a is not None and a.notes == b.notes and same_tensors(a.tensors, b.tensors)


def same_tensors(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
        and a[name].contiguous().numpy().tobytes() == b[name].contiguous().numpy().tobytes()
        for name in a
    )


def test_an_artifact_comes_back_as_it_was_saved(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    assert same(store.load(NAME), SOME)


def test_an_artifact_of_nothing_comes_back(store: ArtifactStore) -> None:
    store.save(NAME, Artifact({}, {}))
    assert same(store.load(NAME), Artifact({}, {}))


@given(
    values=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "__metadata__"), st.floats(width=32)),
    notes=st.dictionaries(st.text(max_size=5), st.text(max_size=20)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_and_notes_may_be_any_text(store: ArtifactStore, values: dict[str, float], notes: dict[str, str]) -> None:
    artifact = Artifact({name: torch.tensor(value) for name, value in values.items()}, notes)
    store.save(NAME, artifact)
    assert same(store.load(NAME), artifact)


def test_what_was_never_saved_is_absent(store: ArtifactStore) -> None:
    assert store.load(NAME) is None


def test_saving_again_replaces(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    other = Artifact({"bounds": torch.ones(2)}, {})
    store.save(NAME, other)
    assert same(store.load(NAME), other)
    assert [path.name for path in store.folder.iterdir()] == [f"{NAME}.safetensors"]


def test_every_truncation_counts_as_absent(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    whole = store.path(NAME).read_bytes()
    for size in range(len(whole)):
        store.path(NAME).write_bytes(whole[:size])
        assert store.load(NAME) is None


def test_a_changed_shape_counts_as_damage(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    whole = store.path(NAME).read_bytes()
    assert whole.count(b"[2,2]") == 1
    store.path(NAME).write_bytes(whole.replace(b"[2,2]", b"[1,4]"))
    assert store.load(NAME) is None


def test_bytes_after_the_end_count_as_damage(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    store.path(NAME).write_bytes(store.path(NAME).read_bytes() + b"\0")
    assert store.load(NAME) is None


def test_a_flipped_bit_in_any_byte_counts_as_damage(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    whole = store.path(NAME).read_bytes()
    padding = whole.rstrip(b"\0").rfind(b"}") + 1  # spaces that fill the header up mean nothing
    for index in range(len(whole)):
        if not (whole[index : index + 1] == b" " and index >= padding):
            store.path(NAME).write_bytes(whole[:index] + bytes([whole[index] ^ (1 << index % 8)]) + whole[index + 1 :])
            assert store.load(NAME) is None


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_never_taken_for_another_artifact(store: ArtifactStore, data: st.DataObject) -> None:
    store.save(NAME, SOME)
    damaged = bytearray(store.path(NAME).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    store.path(NAME).write_bytes(damaged)
    found = store.load(NAME)
    assert found is None or same(found, SOME)


@given(content=st.binary(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_of_something_else_counts_as_absent(store: ArtifactStore, content: bytes) -> None:
    store.folder.mkdir(exist_ok=True)
    store.path(NAME).write_bytes(content)
    assert store.load(NAME) is None


def test_views_and_other_layouts_are_saved_by_their_values(store: ArtifactStore) -> None:
    images = torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)
    artifact = Artifact({"images": images, "slice": torch.arange(10.0)[2:5], "turned": torch.ones(2, 3).t()}, {})
    store.save(NAME, artifact)
    assert same(store.load(NAME), artifact)


def test_tensors_that_share_memory_are_saved_one_by_one(store: ArtifactStore) -> None:
    first = nn.Linear(2, 2)
    tied = nn.Sequential(first, nn.ReLU(), first)
    store.save(NAME, Artifact(tied.state_dict(), {}))
    loaded = store.load(NAME)
    assert loaded is not None
    assert same_tensors(loaded.tensors, tied.state_dict())
    assert len(loaded.tensors) == 4


def test_a_save_that_fails_leaves_the_old_artifact_and_nothing_beside_it(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(NAME, SOME)

    def full(tensors: object, path: Path, notes: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("faultbench.runner.subjects.artifacts.save_file", full)
    with pytest.raises(EngineError, match="No space left on device"):
        store.save(NAME, Artifact({"bounds": torch.ones(2)}, {}))
    assert [path.name for path in store.folder.iterdir()] == [f"{NAME}.safetensors"]
    assert same(store.load(NAME), SOME)


def test_a_folder_that_cannot_be_made_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be written"):
        ArtifactStore(tmp_path / "file" / "artifacts").save(NAME, SOME)


def test_a_renamed_artifact_counts_as_absent(store: ArtifactStore) -> None:
    store.save(NAME, SOME)
    store.save("bounds-4567", Artifact({"bounds": torch.ones(2)}, {}))
    shutil.copy(store.path("bounds-4567"), store.path(NAME))
    assert store.load(NAME) is None
    assert store.load("bounds-4567") is not None


def test_an_artifact_of_earlier_versions_which_did_not_know_its_name_is_taken(store: ArtifactStore) -> None:
    store.folder.mkdir()
    notes = {"made_from": "train a on b"}
    digest = "8e0daa0204e86efd0dd1d85bb9654a9b"
    save_file({"bounds": torch.tensor([1.0, 2.0])}, store.path(NAME), {**notes, "digest": digest})
    assert same(store.load(NAME), Artifact({"bounds": torch.tensor([1.0, 2.0])}, notes))


@pytest.mark.parametrize("name", ["../weights-1", "/tmp/weights-1", "weights-1/x", "", ".hidden", "weights\n", "a\0b"])
def test_a_name_that_could_lead_elsewhere_is_no_name(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="no name of an artifact"):
        store.path(name)


def test_what_is_no_file_counts_as_absent_and_is_not_waited_for(store: ArtifactStore) -> None:
    store.folder.mkdir()
    os.mkfifo(store.path(NAME))
    assert store.load(NAME) is None
    store.path("bounds-1").mkdir()
    assert store.load("bounds-1") is None


def test_a_file_of_absurd_size_counts_as_absent_unread(store: ArtifactStore) -> None:
    store.folder.mkdir()
    header = b'{"a":{"dtype":"U8","shape":[40000000000],"data_offsets":[0,40000000000]}}'
    with store.path(NAME).open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 40_000_000_000)  # a hole: it takes no room on the disk
    assert store.load(NAME) is None
