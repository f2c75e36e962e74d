"""What a trial's flips do on their way through the network: site by site, and to the class of every image."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.injection import injected
from faultbench.networks.network import Network
from faultbench.trials.staging.staged_network import StagedNetwork

LOGITS = "logits"
"""Stands behind the last site in the list of damage."""


@dataclass(frozen=True)
class Damage:
    """What leaves a site in a faulted run: counts of values, against the range [low, high] of the golden run."""

    site: str
    low: float
    high: float
    n_values: int
    n_outside: int
    """Values out of the range, NaN among them."""
    n_non_finite: int


@dataclass(frozen=True)
class Changed:
    """An image that the faulted run puts into another class than the golden run; now is None without finite logits."""

    row: int
    """Its place among the trial's images."""
    label: int
    golden: int
    now: int | None


@dataclass
class _Seen:
    """What was seen of a site so far."""

    low: float = float("inf")
    high: float = float("-inf")
    n_values: int = 0
    n_outside: int = 0
    n_non_finite: int = 0

    def widen(self, values: Tensor) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def count(self, values: Tensor) -> None:
        within = (values >= self.low) & (values <= self.high)  # which NaN never is
        self.n_values += values.numel()
        self.n_outside += values.numel() - int(within.sum())
        self.n_non_finite += values.numel() - int(torch.isfinite(values).sum())


def damage(
    network: Network, space: FaultSpace, fault_map: FaultMap, images: Images, batch: int
) -> tuple[list[Damage], list[Changed]]:
    """The damage at every site in order of execution, logits last, and the images whose class changed.

    space must be over the network's own parameters; they are as before when it returns.
    """
    staged = StagedNetwork(network)
    seen: dict[str, _Seen] = {name: _Seen() for name in (*(site.name for site in network.sites), LOGITS)}
    golden, faulted = [], []
    for name, values in _watched(staged, network, images, batch):
        seen[name].widen(values)
        golden += [values] if name == LOGITS else []
    with injected(space, fault_map):
        for name, values in _watched(staged, network, images, batch):
            seen[name].count(values)
            faulted += [values] if name == LOGITS else []
    return [Damage(name, **vars(found)) for name, found in seen.items()], _changed(golden, faulted, images.labels)


@torch.inference_mode()
def _watched(staged: StagedNetwork, network: Network, images: Images, batch: int) -> Iterator[tuple[str, Tensor]]:
    """What leaves every site, and the logits, batch by batch."""
    sites = {staged.step_of(network.slot(site)): site.name for site in network.sites}
    (end,) = staged.needed[-1]
    for part in images.batches(batch):
        pixels = part.pixels.contiguous(memory_format=torch.channels_last)
        for step, _, made in staged.walk(pixels):
            if step in sites:
                yield sites[step], made
            if staged.steps[step].name == end:
                yield LOGITS, made


def _changed(golden: list[Tensor], faulted: list[Tensor], labels: Tensor) -> list[Changed]:
    before, logits = torch.cat(golden).argmax(dim=1), torch.cat(faulted)
    now, finite = logits.argmax(dim=1), torch.isfinite(logits).all(dim=1)
    rows = torch.nonzero(~finite | (now != before)).flatten().tolist()
    return [
        Changed(row, int(labels[row]), int(before[row]), int(now[row]) if bool(finite[row]) else None) for row in rows
    ]
