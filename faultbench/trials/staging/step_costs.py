"""What the steps of a network take and need, measured on the images that it will run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from faultbench.networks.network import Network
from faultbench.system.devices import finish
from faultbench.trials.staging.channel_splicing import Splicer, spliceable
from faultbench.trials.staging.staged_network import StagedNetwork

N_TIMINGS = 3
N_LOOKED_AT = 2
"""Images that are enough to see which values there are, and which steps write into what they read."""


@dataclass(frozen=True)
class Costs:
    """What the steps take on a batch, and the values that they read and make on all images of a run."""

    seconds: Sequence[float]
    spliced_s: Mapping[int, float]
    """Seconds of a layer's step when one block of its channels is recomputed, where that can be done."""
    needed: Sequence[tuple[str, ...]]
    """Names of the values that a run begun at a step reads; the last entry is the end's."""
    made: Sequence[str]
    """Name of the value that a step makes."""
    n_bytes: Mapping[str, int]
    storage: Mapping[str, int]
    """Values with one storage are views of each other: kept together they take the room of one.

    Values without a size, as the images, which are there anyway, take none.
    """
    bounding: Collection[int]
    """The steps of sites: faults in their bounds may change nothing."""


@torch.inference_mode()
def measured_costs(
    staged: StagedNetwork, network: Network, batch: Tensor, *, n_images: int, n_timings: int = N_TIMINGS
) -> Costs:
    """The costs of a network's steps on a batch, with sizes on n_images."""
    rounds = [_timed(staged, batch) for _ in range(n_timings)]
    few = batch[:N_LOOKED_AT]
    values = {staged.steps[step].name: made for step, _, made in staged.walk(few)}
    sizes = {name: storages(value) for name, value in values.items()}
    return Costs(
        seconds=[median(times) for times in zip(*(seconds for seconds, _ in rounds), strict=True)],
        spliced_s={step: median(spliced[step] for _, spliced in rounds) for step in rounds[0][1]},
        needed=staged.needed,
        made=[node.name for node in staged.steps],
        n_bytes={name: sum(found.values()) * n_images // len(few) for name, found in sizes.items()},
        storage={name: min(found) for name, found in sizes.items() if found},
        bounding={staged.step_of(network.slot(site)) for site in network.sites},
    )


@torch.inference_mode()
def writes_in_place(staged: StagedNetwork, batch: Tensor) -> bool:
    """Whether a step changes a tensor that it reads, so that values cannot be kept for another run."""
    images = batch[:N_LOOKED_AT].clone()
    before: dict[str, Any] = {staged.input: images.clone()}
    for step, values, made in staged.walk(images):
        if not all(_unchanged(values[name], before[name]) for name in staged.reads(step)):
            return True
        before[staged.steps[step].name] = made.clone() if isinstance(made, Tensor) else made
    return False


def storages(value: Any) -> dict[int, int]:
    """Where the tensors of a value lie, and how many bytes each takes there."""
    found = [leaf.untyped_storage() for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
    return {storage.data_ptr(): storage.nbytes() for storage in found}


def _unchanged(value: Any, before: Any) -> bool:
    return not isinstance(value, Tensor) or torch.allclose(value, before, rtol=0, atol=0, equal_nan=True)


def _timed(staged: StagedNetwork, batch: Tensor) -> tuple[list[float], dict[int, float]]:
    """Seconds of every step, and of recomputing a block of channels of the layers where that can be done."""
    splicer, seconds, spliced_s = Splicer(), [], {}

    def now() -> float:
        finish(batch.device)
        return perf_counter()

    started = now()
    for step, values, made in staged.walk(batch):
        seconds.append(now() - started)
        layer = staged.module(step)
        if spliceable(layer):
            x = values[staged.reads(step)[0]]
            if splicer.output(layer, x, made, np.array([0])) is not None:  # the first time it checks itself
                started = now()
                splicer.output(layer, x, made, np.array([0]))
                spliced_s[step] = now() - started
        started = now()
    return seconds, spliced_s
