"""FT-ClipAct's interval search, and the area under the accuracy curve that it maximises."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.injection import inject_faults
from faultbench.networks.network import Site
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.training import measure_accuracy
from faultbench.schemes import ft_clipact
from faultbench.schemes.bounded_activations import ClipToZero
from faultbench.schemes.ft_clipact import FtClipAct, ThresholdResilience
from faultbench.schemes.scheme import Fitting
from tests.builders.fittings import Noting, on_noise
from tests.builders.networks import state_of, unchanged

RATES = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
"""High enough for a network of 500 words."""

PATIENT = FtClipAct(delta=0.0)


@dataclass
class Area:
    """A function of the threshold that keeps its arguments."""

    function: Callable[[float], float]
    asked: list[float] = field(default_factory=list)

    def __call__(self, threshold: float) -> float:
        self.asked.append(threshold)
        return self.function(threshold)


def peak_at(best: float) -> Area:
    return Area(lambda threshold: -((threshold - best) ** 2))


def scanned(function: Callable[[float], float], highest: float) -> float:
    """Return the best of 100,001 thresholds, tried one by one."""
    thresholds = np.linspace(0, highest, 100_001)
    return float(thresholds[np.argmax([function(threshold) for threshold in thresholds])])


SKEWED: list[Callable[[float], float]] = [
    lambda x: x * np.exp(-x / 1.3),
    lambda x: np.log1p(5 * x) - 0.4 * x,
    lambda x: -(abs(x - 2.2) ** 0.5),
    lambda x: min(3 * x, 20 - x),
    lambda x: x,
    lambda x: -x,
]
"""With one peak each, the last two of them at an end."""


@pytest.mark.parametrize("index", range(len(SKEWED)))
@pytest.mark.parametrize("highest", [0.7, 3.198, 20.219])
def test_the_search_comes_as_close_to_a_scans_best_as_its_last_points_lie_apart(index: int, highest: float) -> None:
    area = Area(SKEWED[index])
    found = PATIENT.search(highest, area)
    apart = area.asked[-3] - area.asked[-4]
    assert apart <= highest / 3 * (2 / 3) ** 3 * (1 + 1e-9)
    assert abs(found - scanned(SKEWED[index], highest)) <= apart + highest * 1e-5


@given(share=st.floats(0, 1), highest=st.floats(0.01, 1000))
def test_a_symmetric_peak_is_found_within_half_the_last_step(share: float, highest: float) -> None:
    # Every round shrinks the interval to two thirds or less.
    step = highest / 3 * (2 / 3) ** 3
    found = PATIENT.search(highest, peak_at(share * highest))
    assert abs(found - share * highest) <= step / 2 * 1.001


@pytest.mark.parametrize(("function", "end"), [(lambda x: -x, 0.0), (lambda x: x, 7.0)])
def test_an_optimum_at_an_end_is_found_exactly(function: Callable[[float], float], end: float) -> None:
    assert PATIENT.search(7.0, Area(function)) == end


@given(share=st.floats(0, 1), highest=st.floats(1e-3, 1e3))
def test_the_ends_of_a_narrowed_interval_are_points_that_are_known(share: float, highest: float) -> None:
    area = peak_at(share * highest)
    FtClipAct(delta=0.0, iterations=6).search(highest, area)
    rounds = [area.asked[start : start + 4] for start in range(0, 24, 4)]
    assert [len(points) for points in rounds] == [4] * 6
    for earlier, points in pairwise(rounds):
        assert {points[0], points[3]} <= set(earlier)


def test_the_first_round_by_hand() -> None:
    area = peak_at(2.0)
    FtClipAct(delta=0.0, iterations=2).search(9.0, area)
    assert area.asked == [0, 3, 6, 9, 0, 2, 4, 6]  # 3 is best, between 0 and 6


def test_the_lower_of_two_equal_thresholds_is_taken() -> None:
    assert FtClipAct(iterations=1).search(9.0, Area(lambda threshold: float(threshold > 1))) == 3.0


def test_a_site_that_never_fires_keeps_a_threshold_of_0() -> None:
    assert PATIENT.search(0.0, Area(lambda _: 40.0)) == 0.0


@pytest.mark.parametrize(
    ("step", "iterations", "min_iterations", "delta", "n_rounds"),
    [
        (0.0, 4, 3, 0.2, 3),  # flat: as few rounds as allowed
        (0.0, 9, 1, 0.2, 1),
        (0.0, 2, 3, 0.2, 2),  # never more than allowed
        (0.5, 6, 2, 0.5, 2),  # the largest step equals delta
        (0.5, 6, 2, 0.49, 6),
    ],
)
def test_the_search_stops_after_enough_rounds_once_no_step_exceeds_delta(
    step: float, iterations: int, min_iterations: int, delta: float, n_rounds: int
) -> None:
    area = Area(lambda _: step * (len(area.asked) % 4 == 2))  # one step up and one down in every round
    FtClipAct(iterations=iterations, min_iterations=min_iterations, delta=delta).search(8.0, area)
    assert len(area.asked) == 4 * n_rounds


def resilience(
    fitting: Fitting, site: Site, *, n_maps: int = 3, rates: tuple[float, ...] = RATES
) -> ThresholdResilience:
    return ThresholdResilience(fitting, site, rates, n_maps)


def area_slowly(fitting: Fitting, site: Site, threshold: float, n_maps: int) -> float:
    """Compute the area trial by trial on a fresh network, with the trapezoids written out."""
    network = fitting.network.copy()
    network.install(site, ClipToZero(torch.tensor(threshold)))
    space = fault_space(network, fitting.codec, ("weights", "biases"), owners=site.feeding)
    means = []
    for rate in RATES:
        shares = []
        for trial in range(n_maps):
            with inject_faults(space, Bernoulli().draw(space, ber=rate, seed=fitting.seed, trial=trial)):
                shares.append(measure_accuracy(network, fitting.calibration, batch=fitting.batch))
        means.append(sum(shares) / n_maps)
    return sum(100 * (left + right) / 2 * 0.2 for left, right in pairwise(means))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_area_is_that_of_a_slow_loop(index: int) -> None:
    fitting = on_noise()
    site = fitting.network.sites[index]
    area = resilience(fitting, site)
    values = [area(threshold) for threshold in (0.3, 0.8, 2.5)]
    assert values == pytest.approx([area_slowly(fitting, site, t, 3) for t in (0.3, 0.8, 2.5)])
    assert len(set(values)) > 1


def test_the_area_of_a_constant_accuracy_is_0_8_times_it() -> None:
    fitting = on_noise()
    site = fitting.network.sites[0]
    for threshold in (0.0, 0.5, 1.0, 50.0):
        network = fitting.network.copy()
        network.install(site, ClipToZero(torch.tensor(threshold)))
        share = measure_accuracy(network, fitting.calibration, batch=fitting.batch)
        constant = resilience(fitting, site, rates=(1e-12,) * 5)  # no flip at all
        assert constant(threshold) == pytest.approx(0.8 * 100 * share)
        assert constant.n_injections == 0


def test_no_fault_is_injected_behind_a_threshold_of_0_and_its_area_is_the_dead_layers() -> None:
    fitting = on_noise()
    area = resilience(fitting, fitting.network.sites[1])
    dead = area(0.0)
    assert area.n_injections == 0
    # Here no fault of the feeding layer could be seen: running them all gives the same.
    assert dead == pytest.approx(area_slowly(fitting, fitting.network.sites[1], 0.0, 3))
    area(1.0)
    assert area.n_injections == 15  # 5 rates of 3 maps, none of them empty at these rates


def test_no_threshold_is_evaluated_twice() -> None:
    fitting = on_noise()
    area = resilience(fitting, fitting.network.sites[0])
    first, n_injections = area(0.7), area.n_injections
    assert area(0.7) == first
    assert area.n_injections == n_injections > 0


@pytest.mark.parametrize("index", range(3))
def test_areas_are_the_same_whatever_is_kept(index: int) -> None:
    areas = []
    for memory_bytes in (0, 100_000, 1 << 30):
        fitting = on_noise(memory_bytes=memory_bytes)
        area = resilience(fitting, fitting.network.sites[index])
        areas.append([area(threshold) for threshold in (0.0, 1.0, 2.0, 3.0, 0.7, 1.3)])
    assert areas[0] == areas[1] == areas[2]


def test_searching_leaves_the_network_as_it_is() -> None:
    fitting = on_noise()
    before = state_of(fitting.network)
    PATIENT.search(2.0, resilience(fitting, fitting.network.sites[0]))
    assert unchanged(fitting.network, before)


@dataclass
class Spied:
    """Record of a fitting: the memory that it injected into, and every faulty run."""

    spaces: list[list[str]] = field(default_factory=list)
    n_runs: int = 0


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> Spied:
    """Record the real fault spaces and outcomes."""
    seen, real_space, real_outcome = Spied(), ft_clipact.fault_space, ft_clipact.Evaluation.outcome

    def watched_space(*arguments: Any, **options: Any) -> FaultSpace:
        space = real_space(*arguments, **options)
        seen.spaces.append([item.name for item in space.stored])
        return space

    def watched_outcome(evaluation: Any, fault_map: Any) -> Any:
        seen.n_runs += 1
        return real_outcome(evaluation, fault_map)

    monkeypatch.setattr(ft_clipact, "fault_space", watched_space)
    monkeypatch.setattr(ft_clipact.Evaluation, "outcome", watched_outcome)
    return seen


def test_faults_hit_the_layers_that_feed_the_site_and_nothing_else(spied: Spied) -> None:
    fitting = on_noise()
    FtClipAct(injections=1, rates=RATES).fit(fitting)
    assert spied.spaces == [["conv1.weight", "conv1.bias"], ["conv2.weight"], ["conv3.weight", "conv3.bias"]]


def test_the_injections_reported_are_those_that_were_run(spied: Spied) -> None:
    fitted = FtClipAct(injections=2, rates=RATES).fit(on_noise())
    assert fitted.n_injections == spied.n_runs
    # 3 sites, at most 4 + 3·2 thresholds each of which one is 0, 5 rates, 2 maps.
    assert 0 < spied.n_runs <= 3 * 9 * 10


def test_the_schedule_says_how_many_injections_unless_the_option_does() -> None:
    fitting = on_noise(10, schedule="paper")
    one_round = FtClipAct(iterations=1, rates=(0.1, 0.2))
    assert one_round.fit(fitting).n_injections == 3 * 3 * 2 * 20  # sites, thresholds above 0, rates, maps
    assert FtClipAct(iterations=1, rates=(0.1, 0.2), injections=1).fit(fitting).n_injections == 3 * 3 * 2


def test_thresholds_are_those_of_the_search_from_the_profiled_maximum() -> None:
    fitting = on_noise()
    scheme = FtClipAct(injections=1, rates=RATES)
    with torch.inference_mode():
        x = fitting.network.graph.bn1(fitting.network.graph.conv1(fitting.train.pixels))
    site = fitting.network.sites[0]
    expected = scheme.search(x.max().item(), resilience(fitting, site, n_maps=1))
    assert scheme.fit(fitting).bounds["relu"].item() == pytest.approx(expected, rel=1e-5)


def test_another_seed_meets_other_faults() -> None:
    site = on_noise().network.sites[0]
    areas = [resilience(on_noise(seed=seed), site)(1.0) for seed in (1, 1, 2)]
    assert areas[0] == areas[1] != areas[2]


def test_with_search_scope_network_faults_hit_every_layer(spied: Spied) -> None:
    FtClipAct(search_scope="network", injections=1, rates=RATES).fit(on_noise())
    every = ["conv1.weight", "conv1.bias", "conv2.weight", "conv3.weight", "conv3.bias", "linear.weight", "linear.bias"]
    assert spied.spaces == [every] * 3


def test_a_threshold_of_0_hides_faults_only_of_layers_that_no_other_site_sees() -> None:
    fitting = on_noise()
    site = fitting.network.sites[0]
    whole = ThresholdResilience(fitting, site, RATES, 3, whole_network=True)
    whole(0.0)
    assert whole.n_injections > 0
    alone = ThresholdResilience(fitting, site, RATES, 3)
    alone(0.0)
    assert alone.n_injections == 0


def test_progress_tells_the_site_the_threshold_its_area_and_the_injections_so_far() -> None:
    noting = Noting()
    fitted = FtClipAct(injections=1, rates=RATES).fit(on_noise(reporter=noting))
    told = [re.fullmatch(r"(relu\S*): (\d\.\d{3}), area (\d+\.\d), (\d+) injections so far", n) for n in noting.notes]
    looked = [found for found in told if found]
    assert len(looked) >= 3 * 3 * 4
    assert list(dict.fromkeys(found[1] for found in looked)) == ["relu", "relu#1", "relu#2"]
    assert all(0 <= float(found[3]) <= 80 for found in looked)
    counts = [int(found[4]) for found in looked]
    assert counts == sorted(counts)
    assert counts[-1] == fitted.n_injections
