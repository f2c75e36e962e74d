"""The fault model `exact`: a fixed number of flips over the whole memory."""

import numpy as np
import pytest
import torch
from scipy import stats

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.exact import Exact, distinct
from faultbench.memory.formats.ieee754 import Float32
from faultbench.system.random_streams import generator


def space(*sizes: int, bits: tuple[int, int] | None = None) -> FaultSpace:
    return FaultSpace([StoredTensor(f"t{n}", torch.zeros(size), Float32(), bits) for n, size in enumerate(sizes)])


@pytest.mark.parametrize(("ber", "n_flips"), [(0.1, 32), (0.001, 0), (0.002, 1), (0.5, 160)])
def test_the_number_of_flips_is_the_rounded_expectation(ber: float, n_flips: int) -> None:
    assert len(Exact().draw(space(3, 0, 7), ber=ber, seed=0, trial=0)) == n_flips


def test_every_bit_of_the_memory_is_hit_alike() -> None:
    where = space(2, 1)
    hits = np.zeros(96)
    for trial in range(3000):
        hits[Exact().draw(where, ber=0.25, seed=5, trial=trial).addresses] += 1
    assert hits.sum() == 3000 * 24
    # Without replacement counts spread less than the multinomial that chi-square assumes; the seed is fixed.
    assert stats.chisquare(hits).pvalue > 1e-4


def test_targeted_bits_of_several_tensors_are_found_at_their_addresses() -> None:
    where = space(2, 1, bits=(30, 31))
    everything = Exact().draw(where, ber=0.5, seed=0, trial=0)
    allowed = {30, 31, 62, 63, 94, 95}
    assert len(everything) == 3
    assert set(everything.addresses.tolist()) <= allowed


@pytest.mark.parametrize("n_bits", [1, 7, 1000])
def test_all_bits_can_be_chosen_and_none_twice(n_bits: int) -> None:
    assert sorted(distinct(n_bits, n_bits, generator("x"))) == list(range(n_bits))
