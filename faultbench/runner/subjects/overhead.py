"""What protecting a network costs: memory for the bounds, latency, and the effort of fitting them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from faultbench.campaign import Subject
from faultbench.memory.formats.codec import Codec
from faultbench.networks.network import Network
from faultbench.results.journal.records import Overhead
from faultbench.runner.subjects.builder import Bench, splits
from faultbench.runner.subjects.components import parts
from faultbench.system.devices import finish
from faultbench.system.threads import threads

N_WARM_UPS = 3
FEWEST_ROUNDS, MOST_ROUNDS = 11, 31
ENOUGH_S = 8.0
"""After so long no more than the fewest rounds are taken: a large network's take seconds, and vary less."""


def measured_overhead(subject: Subject, bench: Bench) -> Overhead:
    """Memory, latency, multiply-accumulates and fitting cost of a subject against its unprotected network."""
    built, network, unprotected = parts(subject), bench.protected(subject), bench.network(subject)
    fitted, fit_s = bench.fitted(subject)
    words = memory(network, built.codec)
    images = splits(subject.dataset).test.first(built.batch(unprotected, bench.device)).to(bench.device)
    time_taken = latency(network.on(bench.device), unprotected.on(bench.device), images.pixels)
    return Overhead(
        subject=subject.key,
        parameters=words.n_parameters,
        bounds=words.n_bounds,
        extra_bits=words.extra_bits,
        macs=network.macs(built.dataset.shape),
        latency_ratio=time_taken.ratio,
        latency_ratio_ci_low=time_taken.ci_low,
        latency_ratio_ci_high=time_taken.ci_high,
        fit_seconds=fit_s,
        fit_epochs=fitted.n_epochs,
        fit_injections=fitted.n_injections,
        bounds_to_maxima=fitted.bounds_to_maxima,
    )


@dataclass(frozen=True)
class Memory:
    """Words of a network and of its bounds, and the bits that the bounds add."""

    n_parameters: int
    n_bounds: int
    extra_bits: int


@dataclass(frozen=True)
class Latency:
    """Median ratio of a protected network's time to the unprotected one's, with a 95 % interval."""

    ratio: float
    ci_low: float
    ci_high: float


def memory(protected: Network, codec: Codec) -> Memory:
    """Parameters of a protected network without its bounds, its bounds, and the memory those take."""
    n_bounds = sum(item.tensor.numel() for item in protected.parameters() if item.kind == "bounds")
    n_all = sum(parameter.numel() for parameter in protected.graph.parameters())
    return Memory(n_all - n_bounds, n_bounds, n_bounds * codec.bits)


@torch.inference_mode()
def latency(protected: Callable[[Tensor], Tensor], unprotected: Callable[[Tensor], Tensor], pixels: Tensor) -> Latency:
    """Time of the protected network over that of the unprotected one on a batch of images there, on one thread.

    The two take turns, so that a slow moment of the machine meets both; the median of the rounds' ratios.
    """
    with threads(1):
        for network in (protected, unprotected) * N_WARM_UPS:
            network(pixels)
        ratios, started_s = list[float](), time.perf_counter()
        while len(ratios) < FEWEST_ROUNDS or (len(ratios) < MOST_ROUNDS and time.perf_counter() - started_s < ENOUGH_S):
            ratios.append(_seconds(protected, pixels) / _seconds(unprotected, pixels))
    return _median(np.array(ratios))


def _seconds(network: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    finish(pixels.device)
    started = time.perf_counter()
    network(pixels)
    finish(pixels.device)
    return time.perf_counter() - started


def _median(ratios: NDArray[np.float64]) -> Latency:
    """Distribution-free interval: the number of rounds below the true median is Binomial(n, ½)."""
    ordered = np.sort(ratios)
    low = int(stats.binom.ppf(0.025, len(ordered), 0.5))
    return Latency(float(np.median(ordered)), float(ordered[low - 1]), float(ordered[-low]))
