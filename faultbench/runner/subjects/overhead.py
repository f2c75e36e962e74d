"""Overhead of protecting a network: memory for the bounds, latency, and the cost of fitting them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.campaign import Subject
from faultbench.memory.formats.codec import Codec
from faultbench.networks.network import Network
from faultbench.results.journal.records import Overhead
from faultbench.results.stats import quantile_interval
from faultbench.runner.subjects.builder import SubjectBuilder, dataset_splits
from faultbench.runner.subjects.components import build_components
from faultbench.system.devices import synchronize
from faultbench.system.threads import threads

N_WARM_UPS = 3
FEWEST_ROUNDS, MOST_ROUNDS = 11, 31
ENOUGH_S = 8.0
"""Seconds after which no round beyond the fewest starts; rounds of a large network take seconds, and vary less."""


def measure_overhead(subject: Subject, builder: SubjectBuilder) -> Overhead:
    """Measure memory, latency, multiply-accumulates and fitting cost of a subject, against its unprotected one."""
    components, network, unprotected = build_components(subject), builder.protect(subject), builder.network(subject)
    fitted, fit_s = builder.fit(subject)
    words = count_parameters(network, components.codec)
    device = builder.device
    images = dataset_splits(subject.dataset).test.first(components.batch(unprotected, device)).to(device)
    measured = latency(network.on(device), unprotected.on(device), images.pixels)
    return Overhead(
        subject=subject.key,
        parameters=words.n_parameters,
        bounds=words.n_bounds,
        extra_bits=words.extra_bits,
        macs=network.macs(components.dataset.shape),
        latency_ratio=measured.ratio,
        latency_ratio_ci_low=measured.ci_low,
        latency_ratio_ci_high=measured.ci_high,
        fit_seconds=fit_s,
        fit_epochs=fitted.n_epochs,
        fit_injections=fitted.n_injections,
        bounds_to_maxima=fitted.bounds_to_maxima,
    )


@dataclass(frozen=True)
class ParameterCount:
    """Number of words of a network and of its bounds, and the bits that the bounds add."""

    n_parameters: int
    n_bounds: int
    extra_bits: int


@dataclass(frozen=True)
class Latency:
    """Median ratio of a protected network's time to the unprotected one's, with a 95 % interval."""

    ratio: float
    ci_low: float
    ci_high: float


def count_parameters(protected: Network, codec: Codec) -> ParameterCount:
    """Count the parameters of a protected network without its bounds, its bounds, and the memory of the bounds."""
    n_bounds = sum(item.tensor.numel() for item in protected.parameters() if item.kind == "bounds")
    n_all = sum(parameter.numel() for parameter in protected.graph.parameters())
    return ParameterCount(n_all - n_bounds, n_bounds, n_bounds * codec.bits)


@torch.inference_mode()
def latency(protected: Callable[[Tensor], Tensor], unprotected: Callable[[Tensor], Tensor], pixels: Tensor) -> Latency:
    """Measure the time of the protected network relative to the unprotected one, on one thread.

    pixels are a batch of images on the networks' device. The two take turns, so that a slow moment of the machine
    affects both; the result is the median of the rounds' ratios.
    """
    with threads(1):
        for network in (protected, unprotected) * N_WARM_UPS:
            network(pixels)
        ratios, started_s = list[float](), time.perf_counter()
        while len(ratios) < FEWEST_ROUNDS or (len(ratios) < MOST_ROUNDS and time.perf_counter() - started_s < ENOUGH_S):
            ratios.append(_seconds(protected, pixels) / _seconds(unprotected, pixels))
    return _median(np.array(ratios))


def _seconds(network: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    synchronize(pixels.device)
    started = time.perf_counter()
    network(pixels)
    synchronize(pixels.device)
    return time.perf_counter() - started


def _median(ratios: NDArray[np.float64]) -> Latency:
    """Return the median of the ratios, with a 95 % interval that holds for any distribution."""
    interval = quantile_interval(ratios, 0.5, confidence=0.95)
    return Latency(float(np.median(ratios)), interval.low, interval.high)
