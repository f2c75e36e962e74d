"""Damage that a trial's flips do: at each site of the network, and to the class of each image."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.injection import inject_faults
from faultbench.networks.network import Network
from faultbench.trials.staging.staged_network import StagedNetwork

LOGITS = "logits"
"""Name of the entry after the last site in the list of damage."""


@dataclass(frozen=True)
class Damage:
    """Output of a site in a faulted run: counts of values, against the range [low, high] of the golden run."""

    site: str
    low: float
    high: float
    n_values: int
    n_outside: int
    """Number of values outside the range, including NaN."""
    n_non_finite: int


@dataclass(frozen=True)
class ChangedImage:
    """Image that the faulted run puts into another class than the golden run; now is None if logits are not finite."""

    row: int
    """Position among the trial's images."""
    label: int
    golden: int
    now: int | None


@dataclass
class _SiteStatistics:
    """Range and counts of a site's output so far."""

    low: float = float("inf")
    high: float = float("-inf")
    n_values: int = 0
    n_outside: int = 0
    n_non_finite: int = 0

    def widen(self, values: Tensor) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def count(self, values: Tensor) -> None:
        within = (values >= self.low) & (values <= self.high)  # NaN is never within
        self.n_values += values.numel()
        self.n_outside += values.numel() - int(within.sum())
        self.n_non_finite += values.numel() - int(torch.isfinite(values).sum())


def damage(
    network: Network, space: FaultSpace, fault_map: FaultMap, images: Images, batch: int
) -> tuple[list[Damage], list[ChangedImage]]:
    """Return the damage at each site in order of execution, logits last, and the images whose class changed.

    space must be over the network's own parameters, which are as before when the function returns.
    """
    staged = StagedNetwork(network)
    names = [*(site.name for site in network.sites), LOGITS]
    statistics = {name: _SiteStatistics() for name in names}
    golden, faulted = [], []
    for name, values in _outputs(staged, network, images, batch):
        statistics[name].widen(values)
        golden += [values] if name == LOGITS else []
    with inject_faults(space, fault_map):
        for name, values in _outputs(staged, network, images, batch):
            statistics[name].count(values)
            faulted += [values] if name == LOGITS else []
    damages = [Damage(name, **vars(site)) for name, site in statistics.items()]
    return damages, _changed_images(golden, faulted, images.labels)


@torch.inference_mode()
def _outputs(staged: StagedNetwork, network: Network, images: Images, batch: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the output of each site, and the logits, batch by batch."""
    sites = {staged.step_of(network.slot(site)): site.name for site in network.sites}
    (end,) = staged.needed[-1]
    for part in images.batches(batch):
        pixels = part.pixels.contiguous(memory_format=torch.channels_last)
        for step, _, values in staged.walk(pixels):
            if step in sites:
                yield sites[step], values
            if staged.steps[step].name == end:
                yield LOGITS, values


def _changed_images(golden: list[Tensor], faulted: list[Tensor], labels: Tensor) -> list[ChangedImage]:
    before, logits = torch.cat(golden).argmax(dim=1), torch.cat(faulted)
    now, finite = logits.argmax(dim=1), torch.isfinite(logits).all(dim=1)
    rows = torch.nonzero(~finite | (now != before)).flatten().tolist()
    return [
        ChangedImage(row, int(labels[row]), int(before[row]), int(now[row]) if bool(finite[row]) else None)
        for row in rows
    ]
