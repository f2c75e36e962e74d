"""Artifacts: files of trained weights and fitted bounds, named by what they are made from; they may be deleted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faultbench.system.files.disk import replaced, unwritable

_DIGEST = "digest"
_NAME = "artifact"
"""Notes that only the file has: 32 hex digits of its contents, and its own name."""

MOST_BYTES = 2**34
"""Most bytes of an artifact, enough for 1 billion weights with their momenta; a larger file is not loaded."""

_NAMES = re.compile(r"[a-z]+(-[0-9a-z]+)*", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """Named tensors, and notes about how they were made."""

    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str]


class ArtifactStore:
    """Folder of safetensors files; a damaged or renamed file counts as absent, so that it is made again.

    A file holds its own name, which says what it was made from. Files of earlier versions do not, and are accepted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the path of the artifact of this name; ValueError for a name that could leave the folder."""
        if not _NAMES.fullmatch(name):
            raise ValueError(f"no name of an artifact: {name!r}")
        return self.folder / f"{name}.safetensors"

    def load(self, name: str) -> Artifact | None:
        """Return the artifact, or None if there is no sound file of it."""
        path = self.path(name)
        try:
            if not path.is_file() or path.stat().st_size > MOST_BYTES:  # opening a pipe would block
                return None
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the file is no mapping
                notes = dict(file.metadata() or {})
        except (OSError, SafetensorError):
            return None
        if notes.pop(_DIGEST, None) != _digest(tensors, notes) or notes.pop(_NAME, name) != name:
            return None
        return Artifact(tensors, notes)

    def remove(self, name: str) -> None:
        """Delete the artifact if there is one."""
        self.path(name).unlink(missing_ok=True)

    def remove_finished_parts(self) -> None:
        """Delete the checkpoints of interrupted trainings and fittings whose artifacts are complete by now."""
        for path in self.folder.glob("partial-*.safetensors"):
            name = path.name.removeprefix("partial-").removeprefix("epochs-")
            if (self.folder / name).exists():
                path.unlink(missing_ok=True)

    def save(self, name: str, artifact: Artifact) -> None:
        """Write the artifact completely or not at all; EngineError if the disk refuses."""
        # Copies, because safetensors refuses tensors that share memory, such as those of a layer used twice.
        tensors = {
            key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for key, tensor in artifact.tensors.items()
        }
        notes = {**artifact.notes, _NAME: name}
        with replaced(self.path(name)) as path:
            try:
                save_file(tensors, path, {**notes, _DIGEST: _digest(tensors, notes)})
            except SafetensorError as error:  # a full disk raises it and no OSError
                raise unwritable(self.path(name), str(error)) from error


def _digest(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """Return 32 hex digits of an artifact's contents; safetensors itself does not notice a damaged value."""
    hashed = blake2b(repr(sorted(notes.items())).encode(), digest_size=16)
    for key, tensor in sorted(tensors.items()):
        hashed.update(repr((key, tensor.dtype, tuple(tensor.shape))).encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
