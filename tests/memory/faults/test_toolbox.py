"""The fault model `toolbox`: floor(bits·BER) draws in each tensor, with replacement."""

import numpy as np
import pytest
import torch

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.toolbox import Toolbox
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.models.resnet_cifar import resnet20
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace


def space(**sizes: int) -> FaultSpace:
    return FaultSpace([StoredTensor(name, torch.zeros(size), FixedPoint(15, 16)) for name, size in sizes.items()])


@pytest.mark.parametrize(("ber", "n_flips"), [(1e-7, 0), (1e-6, 5)])
def test_resnet20_gets_the_flips_that_the_toolbox_gives_it(ber: float, n_flips: int) -> None:
    # The toolbox's notebook: 5 flips a trial at 1e-6 and none at 1e-7, since each tensor's count is rounded down.
    network = trace(resnet20((3, 32, 32), 10), (3, 32, 32))
    where = fault_space(network, FixedPoint(15, 16), ["weights"])
    assert len(Toolbox().draw(where, ber=ber, seed=0, trial=0)) == n_flips


def test_a_tensor_of_fewer_bits_than_one_over_the_ber_is_never_hit() -> None:
    where = space(small=3, large=400)
    for trial in range(50):
        addresses = Toolbox().draw(where, ber=1e-2, seed=0, trial=trial).addresses
        assert (addresses >= 96).all()
        assert len(addresses) % 2 == 0  # 128 draws; a bit drawn twice takes both away


def test_a_whole_number_of_expected_flips_is_not_rounded_below_itself() -> None:
    for n_words in range(1, 400):
        ber = 1 / (32 * n_words)
        assert len(Toolbox().draw(space(one=n_words), ber=ber, seed=0, trial=0)) == 1


def test_a_bit_drawn_twice_flips_back() -> None:
    n_flips = [len(Toolbox().draw(space(one=1), ber=0.5, seed=0, trial=trial)) for trial in range(300)]
    assert set(n_flips) <= set(range(0, 17, 2))
    assert min(n_flips) < 16
    # 16 draws among 32 bits leave 32·(1 - (1 - 2/32)^16)/2 = 10.3 bits drawn an odd number of times.
    assert abs(np.mean(n_flips) - 10.3) < 0.5
