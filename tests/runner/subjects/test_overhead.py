"""Overheads: the papers' memory figures exactly, multiply-accumulates by hand, latency as a ratio."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.runner.subjects.overhead import ParameterCount, count_parameters, latency
from faultbench.schemes.scheme import equal_bounds, protect_copy

SHAPE = (3, 32, 32)
PAPERS = {
    # (network, classes): parameters, sites, bounds of FitAct, bounds of HyReLU, FitAct / HyReLU.
    # The ratios are those behind the ProAct abstract's "10.5×–134×"; the networks are those of its released code.
    ("alexnet", 10): (23_272_266, 7, 66_176, 4_102, 16.1),
    ("vgg16", 10): (14_719_818, 13, 276_480, 2_060, 134.2),
    ("resnet50", 10): (23_520_842, 48, 2_875_392, 32_815, 87.6),
    ("alexnet", 100): (20_495_268, 7, 42_048, 4_102, 10.25),
    ("vgg16", 100): (34_006_948, 15, 284_672, 4_110, 69.3),
    ("resnet50", 100): (23_705_252, 48, 2_875_392, 32_815, 87.6),
}


def network(name: str, n_classes: int, **options: Any) -> Network:
    return trace(registry.build("model", name, options, shape=SHAPE, n_classes=n_classes), SHAPE)


def with_scheme(unprotected: Network, name: str) -> Network:
    scheme = registry.build("scheme", name, {})
    return protect_copy(unprotected, scheme, equal_bounds(unprotected, scheme, 0.0))


@pytest.mark.parametrize("case", PAPERS, ids=lambda case: f"{case[0]}-{case[1]}")
def test_the_memory_overheads_are_those_of_the_proact_paper(case: tuple[str, int]) -> None:
    name, n_classes = case
    n_parameters, n_sites, fitact, hyrelu, ratio = PAPERS[case]
    unprotected = network(name, n_classes, **({"protect_stem": False} if name == "resnet50" else {}))
    assert len(unprotected.sites) == n_sites
    for scheme, n_bounds in (("fitact", fitact), ("hyrelu_proact", hyrelu), ("clip_act", n_sites), ("relu", 0)):
        found = count_parameters(with_scheme(unprotected, scheme), FixedPoint(15, 16))
        assert found == ParameterCount(n_parameters, n_bounds, 32 * n_bounds)
    assert fitact / hyrelu == pytest.approx(ratio, rel=0.005)


def test_protecting_the_stem_adds_its_one_site() -> None:
    assert len(network("resnet50", 10).sites) == 49


def test_multiply_accumulates_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 32 * 32, 5))
    assert trace(model, SHAPE).macs(SHAPE) == 32 * 32 * 4 * 3 * 9 + 4 * 32 * 32 * 5


class Clock:
    """A clock that only networks move, so that no test depends on how busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def network(self, seconds: list[float]) -> Callable[[Tensor], Tensor]:
        """One that takes these seconds, in turn, again and again."""
        taken = cycle(seconds)

        def forward(pixels: Tensor) -> Tensor:
            self.now += next(taken)
            return pixels

        return forward


def test_latency_is_the_median_of_the_rounds_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("faultbench.runner.subjects.overhead.time", clock)
    # Rounds are 0 to 30 after 3 warm-ups; every third one of the protected network takes 3 s instead of 1.5 s.
    measured = latency(clock.network([1.5, 1.5, 3.0]), clock.network([1.0]), torch.zeros(1))
    assert measured.ratio == 1.5
    assert (measured.ci_low, measured.ci_high) == (1.5, 3.0)  # the 10th and the 22nd of 21 times 1.5 and 10 times 3


def test_a_slow_moment_that_meets_both_networks_changes_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("faultbench.runner.subjects.overhead.time", clock)
    measured = latency(clock.network([1.0, 10.0, 0.5]), clock.network([0.8, 8.0, 0.4]), torch.zeros(1))
    assert (measured.ci_low, measured.ratio, measured.ci_high) == pytest.approx((1.25, 1.25, 1.25))


def test_latency_is_measured_on_one_thread_and_leaves_the_number_as_it_was() -> None:
    before, during = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        latency(lambda pixels: during.append(torch.get_num_threads()) or pixels, lambda pixels: pixels, torch.zeros(1))
        assert set(during) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
