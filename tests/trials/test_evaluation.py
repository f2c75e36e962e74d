"""Golden runs and trials against them: counts of outcomes, and the network is left as it was."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faultbench.datasets import Images, Splits
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.memory.formats.ieee754 import Float32
from faultbench.memory.injection import inject_faults
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.fx_tracer import symbolic
from faultbench.networks.tracing.trace import trace
from faultbench.schemes.bounded_activations import ClipToZero
from faultbench.system.errors import FaultbenchError
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.staging.golden_run import WHOLE_RUNS, GoldenRun
from tests.builders.networks import SHAPE, Residual, some_images, state_of, unchanged

Q15_16 = FixedPoint(15, 16)
EVERYTHING = ("weights", "biases", "bounds")
SIGN, TOP_OF_EXPONENT, LEAST = 31, 30, 0


class Rows(nn.Linear):
    """A layer that returns the row of its weight whose number is an image's only pixel."""

    n_rows_run = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.n_rows_run += len(pixels)
        return self.weight[pixels.flatten().long()]


class Table:
    """A network whose memory holds its logits, one row per image: a flip there has a known outcome.

    In float32, flipping the top bit of the exponent makes 1.0 infinite and 1.5 NaN; the sign makes 1.0 −1.0.
    """

    def __init__(self, rows: list[list[float]], labels: list[int]) -> None:
        self.rows = Rows(len(rows[0]), len(rows), bias=False)
        self.rows.weight.data = torch.tensor(rows)
        self.network = Network(symbolic(nn.Sequential(self.rows), SHAPE), ())
        self.space = FaultSpace([StoredTensor("logits", self.rows.weight.data, Float32())])
        self.images = Images(torch.arange(float(len(rows))).view(-1, 1, 1, 1), torch.tensor(labels))

    def evaluation(self, batch: int = 3) -> Evaluation:
        return Evaluation(self.network, self.space, self.images, batch=batch)

    def flips(self, bits: Iterable[tuple[int, int, int]]) -> FaultMap:
        """Flips at (row, column, bit)."""
        n_columns = self.rows.weight.shape[1]
        addresses = sorted((row * n_columns + column) * 32 + bit for row, column, bit in bits)
        return FaultMap(np.array(addresses, dtype=np.int64))


RIGHT = [1.0, 0.5, 0.25]
"""Logits of an image whose golden class is 0, and 1 once the first of them changes its sign."""


def test_every_image_is_masked_an_sdc_or_a_due_and_critical_only_if_it_had_been_right() -> None:
    labels_and_flips: list[tuple[int, list[tuple[int, int]]]] = [
        (0, []),  # right: masked
        (0, [(1, LEAST)]),  # right, and a flip without effect: masked
        (2, []),  # wrong as in the golden run: masked
        (0, [(0, SIGN)]),  # right, now class 1: a critical SDC
        (1, [(0, SIGN)]),  # wrong, now class 1, which is right: an SDC
        (2, [(0, SIGN)]),  # wrong, now wrong in another way: an SDC
        (0, [(0, TOP_OF_EXPONENT)]),  # Inf where the right class is: a DUE, although top-1 is the same
        (2, [(0, TOP_OF_EXPONENT), (0, 22)]),  # NaN: a DUE
        (1, [(0, TOP_OF_EXPONENT), (0, SIGN)]),  # −Inf makes the right class the largest: a DUE all the same
    ]
    table = Table([RIGHT] * len(labels_and_flips), [label for label, _ in labels_and_flips])
    evaluation = table.evaluation()
    assert evaluation.golden == Outcome(4, 9, 0, 0, 0, 0, 4)
    outcome = evaluation.outcome(
        table.flips((row, *flip) for row, (_, flips) in enumerate(labels_and_flips) for flip in flips)
    )
    assert outcome == Outcome(3, 3, 3, 1, 3, n_due_critical=1, n_golden_correct=4)


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_the_batch_size_changes_no_count_of_a_table(batch: int) -> None:
    table = Table([RIGHT] * 5, [0, 1, 2, 0, 1])
    flips = table.flips([(0, 0, SIGN), (4, 0, SIGN), (3, 0, TOP_OF_EXPONENT)])
    assert table.evaluation(batch).outcome(flips) == Outcome(1, 2, 2, 1, 1, 1, 2)
    assert table.evaluation(batch).n_images == 5


def test_without_flips_the_outcome_is_the_golden_one_and_nothing_is_run() -> None:
    table = Table([RIGHT, RIGHT], [0, 1])
    evaluation = table.evaluation()
    assert table.rows.n_rows_run == 2
    assert evaluation.outcome(table.flips([])) == evaluation.golden == Outcome(1, 2, 0, 0, 0, 0, 1)
    assert table.rows.n_rows_run == 2


def test_some_images_without_flips_end_as_in_the_golden_run_and_nothing_is_run() -> None:
    table = Table([RIGHT] * 4, [0, 1, 0, 2])
    evaluation, nothing = table.evaluation(), table.flips([])
    assert evaluation.outcome(nothing, np.array([0, 1, 3])) == Outcome(1, 3, 0, 0, 0, 0, 1)
    # Only the third trial has a flip. Its two images run with it, and once without it, as two never ran together.
    maps = [nothing, nothing, table.flips([(2, 0, SIGN)]), nothing]
    chosen = [np.array(rows) for rows in ([0, 1], [0, 2, 3], [2, 3], [1, 3])]
    n_rows_run = table.rows.n_rows_run
    assert evaluation.outcomes(maps, chosen) == [
        Outcome(1, 2, 0, 0, 0, 0, 1),
        Outcome(2, 3, 0, 0, 0, 0, 2),
        Outcome(0, 1, 1, 1, 0, 0, 1),
        Outcome(0, 2, 0, 0, 0, 0, 0),
    ]
    assert table.rows.n_rows_run == n_rows_run + 2 * 2


def test_a_flip_is_undone_before_the_next_trial() -> None:
    table = Table([RIGHT, RIGHT], [0, 0])
    evaluation = table.evaluation()
    first, other = table.flips([(0, 0, SIGN)]), table.flips([(1, 0, TOP_OF_EXPONENT)])
    expected = evaluation.outcome(first)
    assert evaluation.outcome(other) == Outcome(1, 1, 0, 0, 1, 1, 2)
    assert evaluation.outcome(first) == expected == Outcome(1, 1, 1, 1, 0, 0, 2)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_golden_run_that_is_not_finite_is_refused(value: float) -> None:
    table = Table([RIGHT, [0.0, value, 0.0], [0.0, 0.0, value]], [0, 0, 0])
    with pytest.raises(FaultbenchError, match=r"logits that are not finite for 2 images$"):
        table.evaluation()


def test_the_digest_tells_golden_runs_apart_by_the_class_of_any_image() -> None:
    other = RIGHT[::-1]
    pairs = [RIGHT, RIGHT], [RIGHT, other], [other, RIGHT]
    digests = [Table(list(pair), [0, 0]).evaluation().top1_digest for pair in pairs]
    assert len(set(digests)) == 3
    assert all(len(digest) == 16 for digest in digests)
    assert Table([[9.0, 0.5, 0.25], RIGHT], [1, 1]).evaluation().top1_digest == digests[0]


def test_trials_leave_the_network_as_they_found_it_bit_for_bit(digits_cnn: Network, digits: Splits) -> None:
    network = digits_cnn.copy()
    network.install(network.sites[0], ClipToZero(torch.tensor(1.7)))
    before, space = state_of(network), fault_space(network, Q15_16, EVERYTHING)
    evaluation = Evaluation(network, space, digits.test.first(50), batch=50)
    outcomes = [evaluation.outcome(Bernoulli().draw(space, ber=1e-4, seed=0, trial=trial)) for trial in range(5)]
    assert min(outcome.n_masked for outcome in outcomes) < 50  # the flips were felt
    assert unchanged(network, before)
    assert all(o.n_masked + o.n_sdc + o.n_due == 50 for o in outcomes)


def test_a_trial_is_the_same_whatever_ran_before_it(digits_cnn: Network, digits: Splits) -> None:
    network = digits_cnn.copy()
    space = fault_space(network, Q15_16, EVERYTHING)
    evaluation = Evaluation(network, space, digits.test.first(50), batch=50)
    maps = [Bernoulli().draw(space, ber=2e-5, seed=0, trial=trial) for trial in range(6)]
    forwards = [evaluation.outcome(fault_map) for fault_map in maps]
    backwards = [evaluation.outcome(fault_map) for fault_map in reversed(maps)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) > 1


def a_network() -> Network:
    """The residual network with bounds at its first and last site."""
    network = trace(Residual(), SHAPE)
    network.install(network.sites[0], ClipToZero(torch.ones(4, 1, 1)))
    network.install(network.sites[2], ClipToZero(torch.ones(())))
    return network


def stored(targets: Iterable[str], owners: Iterable[str] | None = None) -> list[str]:
    space = fault_space(a_network(), Q15_16, tuple(targets), owners=None if owners is None else tuple(owners))
    return [item.name for item in space.stored]


def test_memory_is_what_the_targets_name_in_order_of_execution() -> None:
    assert stored(EVERYTHING) == [
        "conv1.weight",
        "conv1.bias",
        "bounds.relu",
        "conv2.weight",
        "conv3.weight",
        "conv3.bias",
        "bounds.relu#2",
        "linear.weight",
        "linear.bias",
    ]
    assert stored(["weights"]) == ["conv1.weight", "conv2.weight", "conv3.weight", "linear.weight"]
    assert stored(["biases"]) == ["conv1.bias", "conv3.bias", "linear.bias"]
    assert stored(["bounds"]) == ["bounds.relu", "bounds.relu#2"]
    assert stored([]) == []


def test_owners_limit_memory_to_their_own() -> None:
    assert stored(EVERYTHING, ["conv3", "relu"]) == ["bounds.relu", "conv3.weight", "conv3.bias"]
    assert stored(["biases"], ["conv1", "conv2"]) == ["conv1.bias"]
    assert stored(EVERYTHING, []) == []


def test_memory_counts_every_bit_of_every_word() -> None:
    space = fault_space(a_network(), FixedPoint(7, 8), EVERYTHING)
    n_words = (4 * 9 + 4) + 4 + 4 * 36 + (4 * 36 + 4) + 1 + (36 * 3 + 3)
    assert space.n_bits == 16 * n_words


def test_memory_is_the_networks_live_tensors() -> None:
    network = a_network()
    space = fault_space(network, Q15_16, EVERYTHING)
    live = [parameter for parameter in network.parameters() if parameter.kind in EVERYTHING]
    assert all(item.tensor is parameter.tensor for item, parameter in zip(space.stored, live, strict=True))


def test_a_flipped_bound_changes_logits() -> None:
    network, pixels = a_network(), some_images()
    space = fault_space(network, Q15_16, ["bounds"])
    run = GoldenRun(network, space, Images(pixels, torch.zeros(len(pixels))), len(pixels), WHOLE_RUNS)
    # The bounds of the first site's channels turn negative, and nothing passes it any more.
    fault_map = FaultMap(np.arange(4) * 32 + SIGN)
    with inject_faults(space, fault_map):
        faulted = run.faulted_logits(fault_map, run.batches())
    assert not torch.equal(run.logits[0], faulted[0])
