"""Checkpoint of a training: its state after an epoch as an artifact, from which a killed training goes on."""

import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore

KEPT_EVERY_S = 60.0
"""Fewest seconds between two checkpoints; a large network with its momenta takes a second to write."""

_MODEL, _OPTIMISER, _BATCHES, _OTHER = "model.", "optimiser.", "random.batches", "random.torch"
_CARD = "random.card"


class TrainingCheckpoint:
    """Artifact of weights, optimiser and random generators after an epoch, written once a minute at most.

    A training that goes on from it is bit for bit the one that was never interrupted. n_done is the number of epochs
    that an interrupted training finished, and earlier_s the seconds that they took.
    """

    def __init__(self, artifacts: ArtifactStore, name: str, title: str) -> None:
        self._artifacts, self._name, self._title = artifacts, name, title
        self._kept = artifacts.load(name)
        self.n_done = int(self._kept.notes["n_epochs"]) if self._kept else 0
        self.earlier_s = float(self._kept.notes.get("train_s", 0)) if self._kept else 0.0
        self._n_trained = self.n_done
        self._started_s = self._kept_s = time.monotonic()

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Restore the state that an interrupted training left, if there is one."""
        if self._kept is None:
            return
        tensors, self._kept = self._kept.tensors, None
        model.load_state_dict(_under(_MODEL, tensors))
        optimiser.load_state_dict(
            {"state": _nested(_under(_OPTIMISER, tensors)), "param_groups": optimiser.state_dict()["param_groups"]}
        )
        generator.set_state(tensors[_BATCHES])
        torch.set_rng_state(tensors[_OTHER])
        if _CARD in tensors and _is_on_card(model):
            torch.cuda.set_rng_state(tensors[_CARD])

    def remember(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Count an epoch, and write the state if the last checkpoint is a minute old."""
        self._n_trained += 1
        if time.monotonic() - self._kept_s < KEPT_EVERY_S:
            return
        tensors = {_MODEL + name: tensor for name, tensor in model.state_dict().items()}
        tensors |= {_OPTIMISER + name: tensor for name, tensor in _flat(optimiser.state_dict()["state"])}
        tensors |= {_BATCHES: generator.get_state(), _OTHER: torch.get_rng_state()}
        if _is_on_card(model):
            tensors[_CARD] = torch.cuda.get_rng_state()
        notes = {"made_from": self._title, "n_epochs": str(self._n_trained)}
        notes["train_s"] = f"{self.earlier_s + time.monotonic() - self._started_s:.3f}"
        self._artifacts.save(self._name, Artifact(tensors, notes))
        self._kept_s = time.monotonic()

    def clear(self) -> None:
        """Delete the checkpoint: the training is done."""
        self._artifacts.remove(self._name)


def _is_on_card(model: nn.Module) -> bool:
    return any(parameter.device.type == "cuda" for parameter in model.parameters())


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _flat(state: Mapping[int, Mapping[str, Tensor | None]]) -> Iterator[tuple[str, Tensor]]:
    for index, entries in state.items():
        yield from ((f"{index}.{name}", tensor) for name, tensor in entries.items() if tensor is not None)


def _nested(flat: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    return state
