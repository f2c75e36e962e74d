"""Tests of the count of floating-point operations, against torch's own."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from faultbench.networks.flop_count import FlopCount

NETWORKS = {
    "resnet18": models.resnet18,
    "mobilenet_v3_small": models.mobilenet_v3_small,
    "googlenet": lambda: models.googlenet(init_weights=False, aux_logits=False),
    "vit_b_32": models.vit_b_32,
    "swin_t": models.swin_t,
    "lstm": lambda: nn.Sequential(nn.Flatten(2), nn.Linear(224 * 224, 8), nn.LSTM(8, 16, batch_first=True)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_flops_are_those_that_torch_counts(name: str) -> None:
    network, images = NETWORKS[name]().eval(), torch.zeros(1, 3, 224, 224)
    with torch.inference_mode(), FlopCounterMode(display=False) as expected:
        network(images)
    with torch.inference_mode(), FlopCount() as count:
        network(images)
    assert count.n_flops == expected.get_total_flops() > 0


def test_a_matrix_product_counts_two_operations_per_pair() -> None:
    with FlopCount() as count:
        torch.ones(3, 4) @ torch.ones(4, 5) + torch.relu(torch.ones(3, 5))
    assert count.n_flops == 2 * 3 * 4 * 5
