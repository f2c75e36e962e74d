"""What a fitting found, finished or not, as artifacts: an interrupted one goes on at its last finished site."""

import time

from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.schemes.scheme import Fitted


class SiteCheckpoint:
    """Keeps what a fitting has so far as an artifact, its time included."""

    def __init__(self, artifacts: ArtifactStore, name: str, title: str) -> None:
        self._artifacts, self._name, self._title = artifacts, name, title
        self._kept = artifacts.load(name)
        self._started = time.perf_counter()

    @property
    def fit_s(self) -> float:
        """Seconds spent on this fitting, those before an interruption included."""
        earlier_s = float(self._kept.notes["fit_s"]) if self._kept else 0.0
        return earlier_s + time.perf_counter() - self._started

    def load(self) -> Fitted:
        """What an interrupted fitting left."""
        return fitted_of(self._kept) if self._kept else Fitted()

    def save(self, fitted: Fitted) -> None:
        """Replace what is kept."""
        self._artifacts.save(self._name, fitted_artifact(fitted, self._title, self.fit_s))

    def clear(self) -> None:
        """Forget what is kept: the fitting is done."""
        self._artifacts.remove(self._name)


def fitted_artifact(fitted: Fitted, title: str, fit_s: float) -> Artifact:
    """What a fitting found, as a file holds it."""
    notes = {"made_from": title, "fit_s": f"{fit_s:.3f}"}
    notes |= {"n_epochs": str(fitted.n_epochs), "n_injections": str(fitted.n_injections)}
    if fitted.bounds_to_maxima is not None:
        notes["bounds_to_maxima"] = repr(fitted.bounds_to_maxima)
    return Artifact(fitted.bounds, notes)


def fitted_of(artifact: Artifact) -> Fitted:
    """What `fitted_artifact` holds; files of earlier versions have no bounds_to_maxima."""
    notes, ratio = artifact.notes, artifact.notes.get("bounds_to_maxima")
    counts = (int(notes["n_epochs"]), int(notes["n_injections"]))
    return Fitted(artifact.tensors, *counts, None if ratio is None else float(ratio))
