"""Trained weights and fitted bounds as files named by what they were made from; safe to delete."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faultbench.system.files.disk import replaced

_DIGEST = "digest"


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
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
                notes = dict(file.metadata() or {})
        except (OSError, SafetensorError):
            return None
        recorded = notes.pop(_DIGEST, None)
        return Artifact(tensors, notes) if recorded == _digest(tensors, notes) else None

    def remove(self, name: str) -> None:
        """Delete the artifact if there is one."""
        self.path(name).unlink(missing_ok=True)

    def save(self, name: str, artifact: Artifact) -> None:
        """Write the artifact whole or not at all; EngineError when the disk refuses."""
        # Copies, because safetensors refuses tensors that share memory, as those of a layer used twice do.
        tensors = {
            key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for key, tensor in artifact.tensors.items()
        }
        notes = dict(artifact.notes)
        with replaced(self.path(name)) as path:
            save_file(tensors, path, {**notes, _DIGEST: _digest(tensors, notes)})


def _digest(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """32 hex digits of all that an artifact is: safetensors itself would not notice a damaged value."""
    hashed = blake2b(repr(sorted(notes.items())).encode(), digest_size=16)
    for key, tensor in sorted(tensors.items()):
        hashed.update(repr((key, tensor.dtype, tuple(tensor.shape))).encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
