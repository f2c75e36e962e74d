"""The pilot finds the bits that do harm, always the same ones, with few images."""

import pytest
import torch

from faultbench.datasets import Images
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.results.journal.strata import Hazards
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.strata.bit_kinds import BitKinds
from faultbench.trials.strata.hazard_pilot import N_HAZARDS, N_OTHERS, probe_hazards
from tests.builders.networks import SHAPE, Residual, some_images, state_of, unchanged

Q5_10 = FixedPoint(5, 10)
LOUD = 12
"""From this bit on a flip moves a weight of 0.5 by 4 and more."""


def evaluation(seed: int = 0) -> Evaluation:
    network = trace(Residual(seed), SHAPE)
    pixels = some_images(60)
    with torch.no_grad():
        labels = network(pixels).argmax(1)
    return Evaluation(network, fault_space(network, Q5_10, ("weights", "biases")), Images(pixels, labels), batch=64)


def found_by(judged: Evaluation, seed: int = 1) -> Hazards:
    return probe_hazards(judged, BitKinds(judged.network, judged.space), "s" * 32, seed)


@pytest.fixture(scope="module")
def found() -> Hazards:
    return found_by(evaluation())


def test_high_bits_are_hazards_and_low_ones_are_not(found: Hazards):
    hazardous = {(owner, bit) for owner, bit, *_ in found.hazardous}
    last_layer = found.owners.index(("linear", "weights"))
    assert {(last_layer, bit) for bit in range(LOUD, 15)} <= hazardous
    assert not {bit for _, bit in hazardous if bit <= 1}
    assert 0 < found.n_hazards < found.n_bits / 2


def test_every_bit_is_of_one_kind(found: Hazards):
    assert found.n_bits == evaluation().space.n_target_bits
    assert len({row[:3] for row in found.rows}) == len(found.rows)
    kinds = {bit for _, bit, *_ in found.rows}
    assert kinds == set(range(16))


def test_harm_grows_with_the_number_of_hazards(found: Hazards):
    alone = {row[0]: row[4] / row[2] / row[3] for row in found.points if row[0]}
    others = {row[1]: row[4] / row[2] / row[3] for row in found.points if row[1]}
    assert list(alone) == list(N_HAZARDS)
    assert list(others) == list(N_OTHERS)
    assert alone[1] < alone[8]
    assert others[8] < alone[8] / 2


@pytest.mark.slow
def test_it_finds_the_same_again_and_leaves_the_network_as_it_was(found: Hazards):
    judged = evaluation()
    before = state_of(judged.network)
    assert found_by(judged) == found
    assert unchanged(judged.network, before)
    assert found_by(judged, seed=2) != found


def test_a_harmless_bit_of_all_layers_is_probed_once(found: Hazards):
    """8 tensors make 16 kinds of one bit: one run of 32 images replaces a run of 8 images per kind."""
    for bit in (0, 1):
        rows = [row for row in found.rows if row[1] == bit]
        assert len(rows) > 8
        assert all(row[5] == row[7] == 0 and row[6] == 32 * row[4] for row in rows)
    n_of_points = sum(row[2] * row[3] for row in found.points)
    n_of_kinds = sum(8 * (1 + 12) for row in found.rows if row[1] > 1)
    assert n_of_points < found.n_image_runs < n_of_points + n_of_kinds + 32 * 32
