"""Every registered fault model draws trials that depend on nothing but (space, BER, seed, trial)."""

from typing import Any

import numpy as np
import pytest
import torch

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.plugins import registry

SIZES = {"conv.weight": 4000, "bounds.relu": 1, "conv.bias": 40, "empty": 0, "linear.weight": 700}


@pytest.fixture(params=sorted(registry.catalogue("fault_model")))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def build(name: str, **options: Any) -> Any:
    return registry.build("fault_model", name, options)


def space(bits: tuple[int, int] | None = None, sizes: dict[str, int] = SIZES) -> FaultSpace:
    codec = FixedPoint(15, 16)
    return FaultSpace([StoredTensor(name, torch.zeros(size), codec, bits) for name, size in sizes.items()])


def draw(name: str, where: FaultSpace, *, ber: float = 1e-2, seed: int = 1, trial: int = 0) -> np.ndarray:
    return build(name).draw(where, ber=ber, seed=seed, trial=trial).addresses


def test_the_same_trial_is_the_same_and_another_is_another(name: str) -> None:
    assert np.array_equal(draw(name, space()), draw(name, space()))
    assert not np.array_equal(draw(name, space()), draw(name, space(), trial=1))
    assert not np.array_equal(draw(name, space()), draw(name, space(), seed=2))


def test_as_many_bits_flip_as_the_ber_promises(name: str) -> None:
    where = space()
    n_flips = [len(draw(name, where, trial=trial)) for trial in range(200)]
    # Mean 1,517 of 151,712 bits; a binomial mean over 200 trials has a standard deviation of 2.8, the floors of
    # `toolbox` lose at most 4 flips, and it draws some 7 pairs that cancel.
    assert abs(np.mean(n_flips) - 1517.12) < 25


def test_only_target_bits_flip_and_every_one_can(name: str) -> None:
    where = space((20, 24))
    assert where.n_target_bits == 5 * sum(SIZES.values())
    hit = np.concatenate([where.locate(draw(name, where, ber=0.1, trial=trial)).bit for trial in range(20)])
    assert set(hit.tolist()) == {20, 21, 22, 23, 24}
    counts = np.bincount(hit)[20:]
    # About 9,000 hits a bit, standard deviation below 95.
    assert counts.max() - counts.min() < 6 * 95


def test_a_memory_without_bits_has_no_flips(name: str) -> None:
    assert len(draw(name, FaultSpace([]))) == 0


def test_a_longer_trial_of_a_higher_ber_holds_the_flips_of_a_lower_one(name: str) -> None:
    low, high = draw(name, space(), ber=1e-3), draw(name, space(), ber=1e-2)
    n_missing = len(np.setdiff1d(low, high))
    assert n_missing <= (2 if name == "toolbox" else 0)  # it may draw a bit a second time, which takes it out


def test_names_decide_and_not_neighbours_where_streams_are_a_tensors_own(name: str) -> None:
    if name == "exact":
        pytest.skip("draws over the whole memory")
    alone = draw(name, space(sizes={"linear.weight": 700}))
    where = space()
    last = alone + where.offsets[4]
    assert np.array_equal(last, [a for a in draw(name, where) if a >= where.offsets[4]])
