"""Fixture for rooms that run campaigns, so that no network is trained twice in one run of the tests."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from torch import nn

from faultbench.runner.subjects import builder
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import Components
from faultbench.system.progress.reporter import SilentReporter

__all__ = ["share_training", "trained_once"]


@pytest.fixture(scope="session", autouse=True)
def trained_once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[None]:
    """Train each network once per run of the tests, for all its workers, and take it from a shared folder later."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if hasattr(request.config, "workerinput") else own
    with share_training(shared / "trained"):
        yield


@contextmanager
def share_training(folder: Path) -> Iterator[None]:
    """Let the builders of this process take a trained network from folder, or train it and put it there.

    The name of an artifact says all that it is made from. A test that watches or replaces the training trains itself.
    Each room's conftest brings the fixture, so a process that runs tests of two rooms comes here twice. The second
    leaves all to the first: its lock would wait for the first one's, which the process itself holds.
    """
    if hasattr(SubjectBuilder._train, "is_shared"):
        yield
        return
    store = ArtifactStore(folder)
    folder.mkdir(exist_ok=True)
    train, watched = SubjectBuilder._train, (builder.train_classifier, builder.threads)

    def train_once(self: SubjectBuilder, built: Components, model: nn.Module, name: str) -> Artifact:
        is_watched = (
            type(self._reporter) is not SilentReporter or (builder.train_classifier, builder.threads) != watched
        )
        if is_watched or self._artifacts.path(f"partial-{name}").exists() or built.subject.model.origin is not None:
            return train(self, built, model, name)
        with locked(store.folder / f"{name}.lock"):
            artifact = store.load(name)
            if artifact is None:
                artifact = train(self, built, model, name)
                store.save(name, artifact)
            else:
                self._artifacts.save(name, artifact)
        return artifact

    train_once.is_shared = True  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SubjectBuilder, "_train", train_once)
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time past the file at path."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
