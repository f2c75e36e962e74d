"""Training of bounds changes nothing else and gives nothing else a gradient."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultbench.networks.network import Network
from faultbench.networks.tracing.trace import trace
from faultbench.networks.training import descend
from faultbench.schemes.bounded_activations import Smooth
from faultbench.schemes.fitting.bound_training import STEEPNESS, Student, mean_square
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.networks import SHAPE, Residual, same_bits, some_images, state_of, unchanged

PIXELS, LABELS = some_images(8), torch.arange(8) % 3


@pytest.fixture
def network() -> Network:
    """A network whose batch norm would move its statistics, and whose dropout would drop, if it were trained."""
    return trace(nn.Sequential(nn.Dropout(0.5), Residual()), SHAPE)


@pytest.fixture
def student(network: Network) -> Student:
    return Student(network, bounds_of(network))


def bounds_of(network: Network) -> dict[str, Tensor]:
    """Return one bound at the first site, one per channel at the second, one per neuron at the third."""
    shapes = [(), (4, 1, 1), (4, 6, 6)]
    return {site.name: torch.full(shape, 0.8) for site, shape in zip(network.sites, shapes, strict=True)}


def steps(student: Student, trained: list[nn.Parameter], n_steps: int = 3) -> None:
    with SilentReporter().task("", n_steps) as task:
        descend(
            lambda pixels, labels: F.cross_entropy(student.network(pixels), labels),
            torch.optim.SGD(trained, lr=0.1),
            batches=lambda: [(PIXELS, LABELS)],
            n_epochs=n_steps,
            n_flat_epochs=n_steps,
            task=task,
        )


def test_a_student_has_the_smooth_form_with_its_bounds_at_every_site(student: Student, network: Network) -> None:
    assert list(student.bounds) == [site.name for site in network.sites]
    for name, bounds in bounds_of(network).items():
        assert torch.equal(student.bounds[name], bounds)
    modules = [student.network.at(site) for site in network.sites]
    assert all(isinstance(module, Smooth) and module.steepness == STEEPNESS == 20 for module in modules)


@pytest.mark.parametrize("chosen", [["1.relu"], ["1.relu#1", "1.relu"], ["1.relu", "1.relu#1", "1.relu#2"]])
def test_the_chosen_bounds_and_nothing_else_receive_gradients(student: Student, chosen: list[str]) -> None:
    student.train_only(["1.relu#2"])  # an earlier choice, to be undone
    trained = student.train_only(chosen)
    F.cross_entropy(student.network(PIXELS), LABELS).backward()
    assert {id(parameter) for parameter in trained} == {id(student.bounds[name]) for name in chosen}
    with_gradients = [parameter for parameter in student.network.graph.parameters() if parameter.grad is not None]
    assert {id(parameter) for parameter in with_gradients} == {id(parameter) for parameter in trained}
    assert all(bool(parameter.grad.any()) for parameter in trained)


def test_training_moves_the_chosen_bounds_and_nothing_else(student: Student) -> None:
    before = state_of(student.network)
    steps(student, student.train_only(["1.relu#1"]))
    after = student.network.graph.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"faultbench_sites.1.bounds"}


def test_batch_norm_and_dropout_stay_in_eval_mode(student: Student) -> None:
    steps(student, student.train_only(student.bounds))
    behaving = [m for m in student.network.graph.modules() if isinstance(m, (nn.BatchNorm2d, nn.Dropout, Smooth))]
    assert len(behaving) == 2 + 1 + 3
    assert not any(module.training for module in behaving)
    assert torch.equal(student.network(PIXELS), student.network(PIXELS))  # nothing is dropped


def test_the_network_given_is_untouched(network: Network) -> None:
    before = state_of(network)
    student = Student(network, bounds_of(network))
    steps(student, student.train_only(student.bounds))
    assert unchanged(network, before)
    assert all(parameter.requires_grad for parameter in network.graph.parameters())
    assert all(type(network.at(site)) is nn.ReLU for site in network.sites)


def test_bounds_given_are_copied(network: Network) -> None:
    bounds = bounds_of(network)
    student = Student(network, bounds)
    steps(student, student.train_only(student.bounds))
    assert all(bool((tensor == 0.8).all()) for tensor in bounds.values())


def test_saved_bounds_are_put_back_bit_for_bit(student: Student) -> None:
    trained = student.train_only(student.bounds)
    saved = student.copy_bounds()
    steps(student, trained)
    assert not any(same_bits(saved[name], bounds) for name, bounds in student.bounds.items())
    student.restore(saved)
    assert all(same_bits(saved[name], bounds) for name, bounds in student.bounds.items())
    steps(student, trained)  # and what was saved is a copy, not the live bounds
    assert all(bool((tensor == 0.8).all()) for tensor in saved.values())
    assert not any(tensor.requires_grad for tensor in saved.values())


def test_the_penalty_is_the_sum_over_sites_of_the_mean_square() -> None:
    bounds = [torch.tensor(3.0), torch.tensor([1.0, 2.0, 2.0]), torch.tensor([[4.0, 0.0]])]
    assert mean_square(bounds).item() == pytest.approx(9 + 3 + 8)


def test_the_penaltys_gradient_is_2_bounds_over_their_number() -> None:
    bounds = torch.tensor([1.0, 3.0], requires_grad=True)
    mean_square([bounds, torch.tensor(5.0)]).backward()
    assert bounds.grad is not None
    assert bounds.grad.tolist() == [1.0, 3.0]
