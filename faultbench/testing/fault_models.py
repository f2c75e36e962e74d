"""Contract of fault models: trials that depend on nothing but (space, BER, seed, trial)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.fault_model import FaultModel
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.testing.contract import Contract
from faultbench.testing.selection import Plugin

SIZES = {"conv.weight": 4000, "bounds.relu": 1, "conv.bias": 40, "empty": 0, "linear.weight": 700}
"""Words of the tensors in the memory that faults are drawn in."""


def memory(bits: tuple[int, int] | None = None, sizes: Mapping[str, int] = SIZES) -> FaultSpace:
    """Return a memory of Q15.16 words, of which these bits, first to last, can flip."""
    codec = FixedPoint(15, 16)
    return FaultSpace([StoredTensor(name, torch.zeros(size), codec, bits) for name, size in sizes.items()])


def draw(plugin: Plugin, space: FaultSpace, *, ber: float = 1e-2, seed: int = 1, trial: int = 0) -> NDArray[np.int64]:
    """Return the addresses that flip in a trial."""
    addresses: NDArray[np.int64] = plugin.build().draw(space, ber=ber, seed=seed, trial=trial).addresses
    return addresses


class TestFaultModels(Contract):
    """Every fault model, with its defaults."""

    kind = "fault_model"
    follows_ber: ClassVar[bool] = True
    """Whether bits·BER flips are expected; False for a model that counts otherwise."""

    def test_it_says_which_memory_it_hits(self, plugin: Plugin) -> None:
        reason = "it needs targets, layers, bits and draw; derive from faultbench.memory.Targeted"
        assert isinstance(plugin.build(), FaultModel), reason

    def test_the_same_trial_is_the_same_and_another_is_another(self, plugin: Plugin) -> None:
        first = draw(plugin, memory())
        np.random.default_rng().random()
        torch.rand(1)
        reason = "the same trial has other flips when it is drawn again; draw from faultbench.memory.generator alone"
        assert np.array_equal(first, draw(plugin, memory())), reason
        others = [draw(plugin, memory(), trial=trial) for trial in range(1, 6)]
        assert not all(np.array_equal(first, other) for other in others), "every trial has the same flips"

    def test_as_many_bits_flip_as_the_ber_promises(self, plugin: Plugin) -> None:
        if self.follows_ber:
            space = memory()
            n_flips = [len(draw(plugin, space, trial=trial)) for trial in range(200)]
            # Mean 1,517 of 151,712 bits; a binomial mean over 200 trials has a standard deviation of 2.8, the floors of
            # `toolbox` lose at most 4 flips, and it draws some 7 pairs that cancel.
            reason = f"{np.mean(n_flips):,.1f} flips per trial, where bits·BER is 1,517.1; see follows_ber"
            assert abs(np.mean(n_flips) - 1517.12) < 25, reason

    def test_only_bits_that_may_flip_do(self, plugin: Plugin) -> None:
        space = memory((20, 24))
        assert space.n_target_bits == 5 * sum(SIZES.values())
        hit = np.concatenate([space.locate(draw(plugin, space, ber=0.1, trial=trial)).bit for trial in range(20)])
        outside = sorted(set(hit.tolist()) - {20, 21, 22, 23, 24})
        assert not outside, f"bits {outside} flip, where 20 to 24 may; see FaultSpace.targets"

    def test_a_memory_without_bits_has_no_flips(self, plugin: Plugin) -> None:
        assert len(draw(plugin, FaultSpace([]))) == 0, "flips in an empty memory"
