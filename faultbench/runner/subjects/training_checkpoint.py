"""A training's state after its last epochs as an artifact: a killed training goes on there."""

import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore

KEPT_EVERY_S = 60.0
"""Between two savings at least: a large network with its momenta takes a second to write."""

_MODEL, _OPTIMISER, _BATCHES, _OTHER = "model.", "optimiser.", "random.batches", "random.torch"
_CARD = "random.card"


class KeptEpochs:
    """Keeps weights, optimiser and random numbers after an epoch, once a minute at most.

    A training that goes on from them is bit for bit the one that was never interrupted. n_done is how many epochs
    an earlier one left.
    """

    def __init__(self, artifacts: ArtifactStore, name: str, title: str) -> None:
        self._artifacts, self._name, self._title = artifacts, name, title
        self._found = artifacts.load(name)
        self.n_done = int(self._found.notes["n_epochs"]) if self._found else 0
        self._n_trained = self.n_done
        self._kept_s = time.monotonic()

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Put back what an interrupted training left, if it left anything."""
        if self._found is None:
            return
        tensors, self._found = self._found.tensors, None
        model.load_state_dict(_under(_MODEL, tensors))
        optimiser.load_state_dict(
            {"state": _nested(_under(_OPTIMISER, tensors)), "param_groups": optimiser.state_dict()["param_groups"]}
        )
        generator.set_state(tensors[_BATCHES])
        torch.set_rng_state(tensors[_OTHER])
        if _CARD in tensors and _is_on_card(model):
            torch.cuda.set_rng_state(tensors[_CARD])

    def remember(self, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Count an epoch, and keep the state if the last one kept is a minute old."""
        self._n_trained += 1
        if time.monotonic() - self._kept_s < KEPT_EVERY_S:
            return
        tensors = {_MODEL + name: tensor for name, tensor in model.state_dict().items()}
        tensors |= {_OPTIMISER + name: tensor for name, tensor in _flat(optimiser.state_dict()["state"])}
        tensors |= {_BATCHES: generator.get_state(), _OTHER: torch.get_rng_state()}
        if _is_on_card(model):
            tensors[_CARD] = torch.cuda.get_rng_state()
        notes = {"made_from": self._title, "n_epochs": str(self._n_trained)}
        self._artifacts.save(self._name, Artifact(tensors, notes))
        self._kept_s = time.monotonic()

    def clear(self) -> None:
        """Forget what is kept: the training is done."""
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
