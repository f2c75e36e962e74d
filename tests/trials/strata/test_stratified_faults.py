"""Draws within strata are compared with all fault maps of a small memory."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, chisquare

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.results.estimates import estimate_mean
from faultbench.results.journal.records import Trial
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.strata.bit_kinds import BitKinds
from faultbench.trials.strata.design import design_strata
from faultbench.trials.strata.stratified_faults import BitSet, StratifiedFaultModel, binomial_within
from tests.builders.results import a_golden
from tests.builders.strata import N_BITS, evaluation, fault_maps, hazards_of, memory_of

P = 0.05


@pytest.fixture(scope="module")
def judged() -> Evaluation:
    return evaluation()


@pytest.fixture(scope="module")
def memory(judged: Evaluation) -> BitKinds:
    return memory_of(judged)


@pytest.fixture(scope="module")
def hazards(memory: BitKinds) -> Hazards:
    return hazards_of(memory)


def stratum_of(first: tuple[int, ...], fault_map: FaultMap, is_hazard: np.ndarray) -> int | None:
    """Return the stratum by counting hazards; None for the memory without a flip."""
    n_hazards = int(is_hazard[fault_map.addresses].sum())
    return int(np.searchsorted(first, n_hazards, side="right")) - 1 if len(fault_map) else None


def plain_chance(fault_map: FaultMap) -> float:
    return P ** len(fault_map) * (1 - P) ** (N_BITS - len(fault_map))


IS_HAZARD = np.arange(N_BITS) % 3 >= 1


def test_the_probabilities_of_strata_are_those_of_all_their_fault_maps(hazards: Hazards):
    strata = design_strata("c", hazards, P, None, 300)
    assert len(strata.first) >= 3
    exact = np.zeros(len(strata.first))
    for fault_map in fault_maps():
        if (stratum := stratum_of(strata.first, fault_map, IS_HAZARD)) is not None:
            exact[stratum] += plain_chance(fault_map)
    np.testing.assert_allclose(strata.share, exact, rtol=1e-12)
    assert sum(strata.share) + (1 - P) ** N_BITS == pytest.approx(1, abs=1e-14)


def test_draws_in_a_stratum_are_plain_ones_given_that_they_lie_there(memory: BitKinds, hazards: Hazards):
    """Every bit's frequency, and those of numbers of flips, within 4.5 sd of their exact ones: 1 in 1,000 for all."""
    strata, n_draws = design_strata("c", hazards, P, None, 300), 1200
    drawing = StratifiedFaultModel.of_memory(memory, hazards, {P: strata}, Bernoulli())
    for stratum in range(len(strata.first)):
        inside = [m for m in fault_maps() if stratum_of(strata.first, m, IS_HAZARD) == stratum]
        chances = np.array([plain_chance(fault_map) for fault_map in inside]) / strata.share[stratum]
        exact = np.minimum(chances @ np.array([features(fault_map) for fault_map in inside]), 1)
        drawn = [drawing.draw_in(strata, stratum, P, f"{stratum}/{number}") for number in range(n_draws)]
        assert {stratum_of(strata.first, fault_map, IS_HAZARD) for fault_map in drawn} == {stratum}
        found = np.mean([features(fault_map) for fault_map in drawn], axis=0)
        assert (np.abs(found - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / n_draws) + 1e-12).all()


def features(fault_map: FaultMap) -> np.ndarray:
    """Return as 0 or 1: the bits that flip, some pairs, the number of hazards, and the number of other bits."""
    flips = np.zeros(N_BITS)
    flips[fault_map.addresses] = 1
    counts = [flips[IS_HAZARD].sum() == n for n in range(4)] + [flips[~IS_HAZARD].sum() == n for n in range(4)]
    return np.array([*flips, flips[1] * flips[2], flips[2] * flips[0], flips[0] * flips[3], *counts], dtype=float)


COUNTS = ("n_correct", "n_masked", "n_sdc", "n_sdc_critical", "n_due")


def any_flip(memory: BitKinds, hazards: Hazards) -> Strata:
    """One stratum of all memories with a flip."""
    one = design_strata("c", hazards_of(memory, first_bit=9), P, None, 300)
    assert one.first == (0,)
    return replace(one, n_hazards=hazards.n_hazards)


@pytest.mark.parametrize("has_hazards", [True, False])
def test_draws_of_memories_with_a_flip_are_plain_ones_that_have_one(
    memory: BitKinds, hazards: Hazards, has_hazards: bool
):
    found = hazards if has_hazards else hazards_of(memory, first_bit=9)
    strata, n_draws = any_flip(memory, found), 3000
    drawing = StratifiedFaultModel.of_memory(memory, found, {P: strata}, Bernoulli())
    inside = [fault_map for fault_map in fault_maps() if len(fault_map)]
    chances = np.array([plain_chance(fault_map) for fault_map in inside]) / strata.share[0]
    assert chances.sum() == pytest.approx(1)
    exact = np.minimum(chances @ np.array([features(fault_map) for fault_map in inside]), 1)
    drawn = [drawing.draw_in(strata, 0, P, f"any/{number}") for number in range(n_draws)]
    assert all(len(fault_map) for fault_map in drawn)
    frequencies = np.mean([features(fault_map) for fault_map in drawn], axis=0)
    assert (np.abs(frequencies - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / n_draws) + 1e-12).all()


@pytest.mark.parametrize("by_hazards", [True, False])
def test_what_stratified_trials_say_is_right_in_the_mean(
    judged: Evaluation, memory: BitKinds, hazards: Hazards, by_hazards: bool
):
    """All fault maps of the memory run one by one, each weighted by how often strata draw it."""
    strata = design_strata("c", hazards, P, None, 300) if by_hazards else any_flip(memory, hazards)
    n_images = judged.n_images
    golden = a_golden(n_images=n_images, n_correct=judged.golden.n_correct)
    plain, stratified = dict.fromkeys(COUNTS, 0.0), dict.fromkeys(COUNTS, 0.0)
    for fault_map in fault_maps():
        outcome, stratum = judged.outcome(fault_map), stratum_of(strata.first, fault_map, IS_HAZARD)
        ends = {count: getattr(outcome, count) for count in COUNTS}
        for count in COUNTS:
            plain[count] += plain_chance(fault_map) * ends[count] / n_images
            if stratum is not None:
                trial = Trial("c", 0, len(fault_map), n_images, flips_digest="d", stratum=stratum, **ends)
                drawn = plain_chance(fault_map) / strata.weights[stratum]
                stratified[count] += drawn * estimate_mean([trial], golden, strata, count=count).unscaled[0]
    assert stratified == pytest.approx(plain, abs=1e-12)
    assert 0 < plain["n_sdc"] < 1


def test_a_draw_from_a_set_takes_any_bits_of_it_with_equal_chance(memory: BitKinds):
    counts = memory.counts
    keys = [key for key in np.flatnonzero(counts).tolist() if key % 64 // 2 == 1]
    assert len(keys) == 2  # some words hold 0 there, some 1
    one = BitSet(memory, keys[:1])
    n = int(counts[keys[0]])
    members = {tuple(sorted(one.draw(n, np.random.default_rng(seed)).tolist())) for seed in range(20)}
    assert len(members) == 1
    both, rng = BitSet(memory, keys), np.random.default_rng(1)
    pairs = [tuple(sorted(both.draw(2, rng).tolist())) for _ in range(900)]
    assert set(pairs) == {(1, 4), (1, 7), (4, 7)}
    assert chisquare([pairs.count(pair) for pair in set(pairs)]).pvalue > 1e-4


@pytest.mark.parametrize(
    ("n", "p", "fewest", "most"), [(50, 0.1, 1, 50), (1000, 0.02, 15, 18), (10**7, 1e-9, 1, 10**7)]
)
def test_a_binomial_within_ends_has_the_chances_that_it_has_there(n: int, p: float, fewest: int, most: int):
    rng = np.random.default_rng(0)
    drawn = np.array([binomial_within(n, p, fewest, most, rng) for _ in range(3000)])
    assert drawn.min() >= fewest
    assert drawn.max() <= most
    inside = binom.cdf(most, n, p) - binom.cdf(fewest - 1, n, p)
    if inside < 1e-6:
        inside = binom.sf(fewest - 1, n, p)
    for k in range(fewest, min(most, fewest + 12) + 1):
        exact = binom.pmf(k, n, p) / inside
        assert abs((drawn == k).mean() - exact) <= 4.5 * (exact / 3000) ** 0.5 + 1e-12


def test_a_cell_without_strata_has_the_plain_flips(memory: BitKinds, hazards: Hazards):
    often = 0.3  # hardly a memory has no flip
    strata = design_strata("c", hazards_of(memory, first_bit=9), often, None, 300)
    assert not strata.is_split
    drawing = StratifiedFaultModel.of_memory(memory, hazards, {often: strata}, Bernoulli())
    for trial in range(20):
        there = drawing.draw(memory.space, ber=often, seed=5, trial=trial).digest
        assert there == Bernoulli().draw(memory.space, ber=often, seed=5, trial=trial).digest
        assert drawing.stratum(ber=often, seed=5, trial=trial) is None


def test_a_memory_counts_its_bits_by_kind(memory: BitKinds):
    addresses = np.arange(N_BITS)
    np.testing.assert_array_equal(memory.counts, np.bincount(memory.own_keys(addresses), minlength=memory.n_keys))
