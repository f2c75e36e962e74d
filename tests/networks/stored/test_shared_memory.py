"""Tests of tensors that share memory without being one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from faultbench import protect
from faultbench.memory.formats.ieee754 import Float32
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.clip_act import ClipAct
from faultbench.system.errors import FaultbenchError
from tests.builders.networks import refused

SHAPE = (1, 4, 4)


class Shared(nn.Module):
    """Two linear layers, the second one's weight made from the first one's."""

    def __init__(self, made: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16, bias=False)
        weight = made(self.first.weight)
        self.second = nn.Linear(16, len(weight), bias=False)
        self.second.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x.flatten(1))))


SHARING = {
    "rows": lambda w: w.data[4:12],
    "columns": lambda w: w.data.t()[2:6],
    "whole": lambda w: w.data,
    "transposed": lambda w: w.data.t(),
}


@pytest.mark.parametrize("kind", SHARING)
def test_two_parameters_that_share_memory_are_refused_by_name(kind: str) -> None:
    message = refused(Shared(SHARING[kind]), SHAPE)
    assert "first.weight and second.weight share memory" in message


def test_a_protected_network_is_refused_before_it_is_copied() -> None:
    data = [(torch.rand(8, *SHAPE), torch.zeros(8, dtype=torch.int64))]
    with pytest.raises(FaultbenchError, match=r"first\.weight and second\.weight share memory"):
        protect(Shared(SHARING["rows"]), ClipAct(), data)


@pytest.mark.parametrize("kind", ["rows", "whole"])
def test_a_buffer_that_shares_a_parameters_memory_is_refused(kind: str) -> None:
    model = Shared(lambda w: w.detach().clone())
    model.register_buffer("table", SHARING[kind](model.first.weight))
    assert "first.weight and table share memory" in refused(model, SHAPE)


def test_one_parameter_in_two_layers_counts_once_also_in_a_copy() -> None:
    network = trace(Shared(lambda w: w), SHAPE)
    for same in (network, network.copy()):
        assert fault_space(same, Float32(), ("weights",)).n_bits == 32 * 16 * 16


def test_parameters_beside_each_other_in_one_storage_are_accepted() -> None:
    both = torch.rand(32, 16)
    model = Shared(lambda _: both[16:])
    model.first.weight = nn.Parameter(both[:16])
    assert fault_space(trace(model, SHAPE), Float32(), ("weights",)).n_bits == 32 * 32 * 16


def test_parameters_of_alternate_columns_are_accepted() -> None:
    both = torch.rand(16, 32)
    model = Shared(lambda _: both[:, 1::2])
    model.first.weight = nn.Parameter(both[:, ::2])
    assert fault_space(trace(model, SHAPE).copy(), Float32(), ("weights",)).n_bits == 32 * 32 * 16
