"""The reference fault model: independent flips at the rate asked for, reproducible, nested in the rate.

The statistical tests have fixed seeds and one bound: a right sampler gives p < 1e-4 with one seed in 10,000.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.codec import Codec
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32

Q15_16 = FixedPoint(15, 16)
TWO_BITS = FixedPoint(0, 1)
P_LEAST = 1e-4

rates = st.floats(-9, math.log10(0.5)).map(lambda exponent: 10**exponent)


def space_of(sizes: Mapping[str, int], codec: Codec = Q15_16) -> FaultSpace:
    """Return a space of tensors with these numbers of words; their values do not matter here."""
    return FaultSpace([StoredTensor(name, torch.empty(size), codec) for name, size in sizes.items()])


def drawn(space: FaultSpace, *, ber: float, seed: int = 1, trial: int = 0) -> list[int]:
    addresses: list[int] = Bernoulli().draw(space, ber=ber, seed=seed, trial=trial).addresses.tolist()
    return addresses


def p_of_counts(observed: Sequence[int] | NDArray[np.int64], probability: NDArray[np.float64]) -> float:
    """Return p of Pearson's chi-square for counts of outcomes with these probabilities; rare outcomes are pooled."""
    counts = np.asarray(observed)
    expected = probability / probability.sum() * counts.sum()
    rare = expected < 10
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    return float(stats.chisquare(counts, expected).pvalue)


@given(low=rates, high=rates, trial=st.integers(0, 50))
def test_what_flips_at_a_rate_also_flips_at_every_higher_rate(low: float, high: float, trial: int) -> None:
    low, high = sorted((low, high))
    space = space_of({"one": 1, "few": 37, "many": 500})
    assert set(drawn(space, ber=low, trial=trial)) <= set(drawn(space, ber=high, trial=trial))


def test_flips_are_nested_over_the_rates_of_the_papers_in_a_large_memory() -> None:
    space = space_of({"w": 10**6, "b": 10**3})
    maps = [set(drawn(space, ber=ber)) for ber in (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5)]
    assert all(low < high for low, high in pairwise(maps))


def test_a_tensors_flips_do_not_depend_on_what_else_is_in_memory() -> None:
    alone, shared = space_of({"b": 300}), space_of({"a": 100, "b": 300, "c": 77})
    for trial in range(20):
        among_others = [address - 3200 for address in drawn(shared, ber=1e-3, trial=trial) if 3200 <= address < 12800]
        assert among_others == drawn(alone, ber=1e-3, trial=trial)


def test_formats_of_the_same_width_get_the_same_flips() -> None:
    assert drawn(space_of({"w": 500}, FixedPoint(0, 31)), ber=1e-2) == drawn(space_of({"w": 500}, Float32()), ber=1e-2)


def test_seed_trial_and_name_give_other_flips_and_the_same_ones_again() -> None:
    def flips(name: str, seed: int, trial: int) -> list[int]:
        return drawn(space_of({name: 100}), ber=0.01, seed=seed, trial=trial)

    keys = list(product(("w", "w1", "1"), (0, 1, 11), (0, 1, 11)))
    first = [flips(*key) for key in keys]
    assert len(set(map(tuple, first))) == len(keys)
    assert [flips(*key) for key in keys] == first


def test_the_streams_are_those_that_recorded_results_were_made_with() -> None:
    # If this fails, every result changes: trials recorded before can no longer be replayed.
    large = Bernoulli().draw(space_of({"fc.weight": 10**6}), ber=1e-5, seed=2024, trial=7)
    assert (len(large), large.digest) == (318, "ead6f7c8d6c172a8")
    space = space_of({"conv.weight": 1000})
    assert drawn(space, ber=2e-4, seed=2024, trial=7) == [3612, 8469, 21955, 23490, 26659, 29829]


def test_no_rate_no_flips() -> None:
    assert drawn(space_of({"w": 10**6}), ber=0) == []


@pytest.mark.parametrize("ber", [-1e-9, 0.500001, 10, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(ber: float) -> None:
    with pytest.raises(ValueError, match=r"^a bit error rate must be 0 to 0\.5, not"):
        drawn(space_of({"w": 1}), ber=ber)


def test_empty_tensors_and_an_empty_memory_have_no_flips() -> None:
    assert drawn(FaultSpace([]), ber=0.5) == []
    assert drawn(space_of({"none": 0}), ber=0.5) == []
    assert all(address < 32 for address in drawn(space_of({"a": 0, "w": 1, "b": 0}), ber=0.5))


@pytest.mark.parametrize(
    ("n_words", "ber", "n_trials"),
    [
        pytest.param(1, 0.3, 20_000, id="one word, large rate"),
        pytest.param(12, 0.5, 5_000, id="large rate, several blocks of the stream"),
        pytest.param(10**5, 1e-4, 5_000, id="320 flips, several blocks of the stream"),
        pytest.param(10**6, 1e-3, 500, id="32,000 flips, many blocks of the stream"),
        pytest.param(10**6, 1e-7, 10_000, id="32 Mbit, 3 flips"),
        pytest.param(16 * 10**6, 1e-9, 10_000, id="512 Mbit, half a flip"),
    ],
)
def test_the_number_of_flips_is_binomial(n_words: int, ber: float, n_trials: int) -> None:
    space = space_of({"w": n_words})
    n_flips = [len(drawn(space, ber=ber, trial=trial)) for trial in range(n_trials)]
    nominal = stats.binom(space.n_bits, ber)
    edges = np.unique(nominal.ppf(np.linspace(0, 1, 25)[1:-1]))  # up to 24 classes, about as likely as each other
    observed = np.bincount(np.searchsorted(edges, n_flips), minlength=len(edges) + 1)
    assert p_of_counts(observed, np.diff(nominal.cdf(edges), prepend=0, append=1)) > P_LEAST


@pytest.mark.parametrize("ber", [0.3, 0.5])
def test_all_64_patterns_of_a_6_bit_memory_come_as_often_as_independent_bits_make_them(ber: float) -> None:
    space = space_of({"a": 1, "b": 2}, TWO_BITS)
    observed = np.zeros(64, dtype=np.int64)
    for trial in range(20_000):
        observed[sum(1 << address for address in drawn(space, ber=ber, trial=trial))] += 1
    n_flips = np.array([pattern.bit_count() for pattern in range(64)])
    assert p_of_counts(observed, ber**n_flips * (1 - ber) ** (6 - n_flips)) > P_LEAST


def test_a_trial_knows_nothing_of_the_trial_before_it() -> None:
    space = space_of({"w": 1}, TWO_BITS)
    patterns = np.array([sum(1 << a for a in drawn(space, ber=0.3, trial=trial)) for trial in range(20_001)])
    observed = np.bincount(4 * patterns[:-1] + patterns[1:], minlength=16)
    one = np.array([0.49, 0.21, 0.21, 0.09])
    assert p_of_counts(observed, np.outer(one, one).ravel()) > P_LEAST


def test_realised_flips_a_tensor_a_bit_and_a_place_are_the_nominal_ones() -> None:
    space, ber, n_trials = space_of({"bias": 30, "small": 700, "conv": 9_000, "large": 200_000}), 1e-5, 2_000
    flips = [Bernoulli().draw(space, ber=ber, seed=3, trial=trial).addresses for trial in range(n_trials)]
    location = space.locate(np.concatenate(flips))
    places = location.word[location.tensor == 3] // 2_000  # hundredths of the largest tensor
    for realised, n_bits in (
        (np.bincount(location.tensor, minlength=4), np.diff(space.offsets)),
        (np.bincount(location.bit, minlength=32), np.full(32, space.n_bits / 32)),
        (np.bincount(places, minlength=100), np.full(100, 64_000)),
    ):
        # Independent binomial counts: their squared deviations in units of their variance are chi-square, one
        # degree of freedom each. The least expected count is 30·32·1e-5·2000 = 19.
        nominal = n_bits * ber * n_trials
        chi_square = ((realised - nominal) ** 2 / (nominal * (1 - ber))).sum()
        assert stats.chi2.sf(chi_square, len(nominal)) > P_LEAST
