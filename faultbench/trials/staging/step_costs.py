"""Costs of the steps of a network, measured on the images that it will run."""

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
from faultbench.system.devices import synchronize
from faultbench.trials.staging.channel_splicing import Splicer, spliceable
from faultbench.trials.staging.staged_network import StagedNetwork

N_TIMINGS = 3
N_SAMPLE_IMAGES = 2
"""Images that are enough to see which values there are, and which steps write into the values that they read."""


@dataclass(frozen=True)
class StepCosts:
    """Seconds that the steps take on a batch, and the values that they read and give on all images of a run."""

    seconds: Sequence[float]
    spliced_s: Mapping[int, float]
    """Seconds to recompute one block of channels, for each layer's step where that is possible."""
    needed: Sequence[tuple[str, ...]]
    """Names of the values that a run from a step on reads; the last entry is for the end."""
    outputs: Sequence[str]
    """Name of the value that each step gives."""
    n_bytes: Mapping[str, int]
    storage: Mapping[str, int]
    """Number of each value's storage. Values with one storage are views of each other and take its memory only once.

    Values without an entry take no memory, such as the images, which are in memory anyway.
    """
    bounding: Collection[int]
    """Steps of sites: faults in their bounds may change nothing."""
    logits: Tensor
    """Logits of the batch."""


@torch.inference_mode()
def measure_costs(
    staged: StagedNetwork, network: Network, batch: Tensor, *, n_images: int, n_timings: int = N_TIMINGS
) -> StepCosts:
    """Return the costs of a network's steps on a batch, with sizes for n_images."""
    rounds = [_timed(staged, batch) for _ in range(n_timings)]
    few = batch[:N_SAMPLE_IMAGES]
    values = {staged.steps[step].name: output for step, _, output in staged.walk(few)}
    sizes = {name: storages(value) for name, value in values.items()}
    return StepCosts(
        seconds=[median(times) for times in zip(*(seconds for seconds, _, _ in rounds), strict=True)],
        spliced_s={step: median(spliced[step] for _, spliced, _ in rounds) for step in rounds[0][1]},
        needed=staged.needed,
        outputs=[node.name for node in staged.steps],
        n_bytes={name: sum(of_value.values()) * n_images // len(few) for name, of_value in sizes.items()},
        storage={name: min(of_value) for name, of_value in sizes.items() if of_value},
        bounding={staged.step_of(network.slot(site)) for site in network.sites},
        logits=rounds[-1][2],
    )


@torch.inference_mode()
def writes_in_place(staged: StagedNetwork, batch: Tensor) -> bool:
    """Return whether a step changes a tensor that it reads, so that values cannot be kept for another run."""
    images = batch[:N_SAMPLE_IMAGES].clone()
    before: dict[str, Any] = {staged.input: images.clone()}
    for step, values, output in staged.walk(images):
        if not all(_unchanged(values[name], before[name]) for name in staged.reads(step)):
            return True
        before[staged.steps[step].name] = output.clone() if isinstance(output, Tensor) else output
    return False


def storages(value: Any) -> dict[int, int]:
    """Return the address of each storage that the tensors of a value lie in, with its size in bytes."""
    used = [leaf.untyped_storage() for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
    return {storage.data_ptr(): storage.nbytes() for storage in used}


def _unchanged(value: Any, before: Any) -> bool:
    return not isinstance(value, Tensor) or torch.allclose(value, before, rtol=0, atol=0, equal_nan=True)


def _timed(staged: StagedNetwork, batch: Tensor) -> tuple[list[float], dict[int, float], Tensor]:
    """Return the seconds of each step, those of recomputing a block of channels where possible, and the logits."""
    splicer, seconds, spliced_s = Splicer(), [], {}
    logits: dict[str, Tensor] = {}

    def now() -> float:
        synchronize(batch.device)
        return perf_counter()

    started = now()
    for step, values, output in staged.walk(batch):
        seconds.append(now() - started)
        logits |= {staged.output: output} if staged.steps[step].name == staged.output else {}
        layer = staged.module(step)
        if spliceable(layer):
            x = values[staged.reads(step)[0]]
            if splicer.output(layer, x, output, np.array([0])) is not None:  # the first call also checks exactness
                started = now()
                splicer.output(layer, x, output, np.array([0]))
                spliced_s[step] = now() - started
        started = now()
    return seconds, spliced_s, logits[staged.output]
