"""Trained weights and fitted bounds as files named by what they were made from; safe to delete."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faultbench.disk import replaced


@dataclass(frozen=True)
class Artifact:
    """Named tensors and a few words about how they were made."""

    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str]


class ArtifactStore:
    """A folder of safetensors files; a damaged file counts as absent, so that it is made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where the artifact of this name lies or would lie."""
        return self.folder / f"{name}.safetensors"

    def load(self, name: str) -> Artifact | None:
        """The artifact, or None when there is no sound file of it."""
        try:
            with safe_open(self.path(name), framework="pt") as file:
                return Artifact({key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})  # noqa: SIM118 - no mapping
        except (FileNotFoundError, SafetensorError):
            return None

    def save(self, name: str, artifact: Artifact) -> None:
        """Write the artifact whole or not at all; EngineError when the disk refuses."""
        tensors = {key: tensor.contiguous() for key, tensor in artifact.tensors.items()}
        with replaced(self.path(name)) as path:
            save_file(tensors, path, dict(artifact.notes))
