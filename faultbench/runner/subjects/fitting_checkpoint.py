"""Checkpoint of a fitting: bounds found so far as an artifact; an interrupted fitting goes on after its last site."""

import json
import time

from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.schemes.scheme import Fitted


class FittingCheckpoint:
    """Artifact that holds what a fitting has found so far, and the time that it took."""

    def __init__(self, artifacts: ArtifactStore, name: str, title: str) -> None:
        self._artifacts, self._name, self._title = artifacts, name, title
        self._kept = artifacts.load(name)
        self._started_s = time.perf_counter()

    @property
    def fit_s(self) -> float:
        """Seconds spent on this fitting, including those before an interruption."""
        earlier_s = float(self._kept.notes["fit_s"]) if self._kept else 0.0
        return earlier_s + time.perf_counter() - self._started_s

    def load(self) -> Fitted:
        """Return what an interrupted fitting left."""
        return read_fitted(self._kept) if self._kept else Fitted()

    def save(self, fitted: Fitted) -> None:
        """Replace the kept result."""
        self._artifacts.save(self._name, fitted_artifact(fitted, self._title, self.fit_s))

    def clear(self) -> None:
        """Delete the checkpoint: the fitting is done."""
        self._artifacts.remove(self._name)


def fitted_artifact(fitted: Fitted, title: str, fit_s: float) -> Artifact:
    """Return the result of a fitting as an artifact."""
    notes = {"made_from": title, "fit_s": f"{fit_s:.3f}"}
    notes |= {"n_epochs": str(fitted.n_epochs), "n_injections": str(fitted.n_injections)}
    if fitted.bounds_to_maxima is not None:
        notes["bounds_to_maxima"] = repr(fitted.bounds_to_maxima)
    if fitted.unsearched:
        notes["unsearched"] = json.dumps(fitted.unsearched)
    return Artifact(fitted.bounds, notes)


def read_fitted(artifact: Artifact) -> Fitted:
    """Return the result that an artifact holds; files of earlier versions lack bounds_to_maxima and unsearched."""
    notes, ratio = artifact.notes, artifact.notes.get("bounds_to_maxima")
    counts = (int(notes["n_epochs"]), int(notes["n_injections"]))
    unsearched = tuple(json.loads(notes.get("unsearched", "[]")))
    return Fitted(artifact.tensors, *counts, None if ratio is None else float(ratio), unsearched)
