"""ProAct's progressive training: the order in which bounds change, rejected decays, and the search over decays."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from faultbench.datasets import Splits
from faultbench.networks.network import Network, Site
from faultbench.networks.training import measure_accuracy
from faultbench.schemes import hyrelu_proact
from faultbench.schemes.fitting.bound_training import Student
from faultbench.schemes.fitting.line_search import try_decays
from faultbench.schemes.fitting.profile import profiled_bounds
from faultbench.schemes.hyrelu_proact import DECAYS, RECIPES, HyreluProact, ProactRecipe, ProgressiveTraining
from faultbench.schemes.scheme import Fitting, granularities, protect_copy
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.fittings import Noting, on_digits, on_noise
from tests.builders.networks import same_bits

FAST = RECIPES["fast"]
SHORT = ProactRecipe(batch=20, n_epochs=(2, 2), learning_rate=(1e-2, 1e-2), bisect=True)
LAST_FIRST = ["relu#2", "relu#1", "relu"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hyrelu_proact.RECIPES, "fast", SHORT)


def use(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setitem(hyrelu_proact.RECIPES, "fast", replace(SHORT, **changes))


def profiled(fitting: Fitting) -> dict[str, Tensor]:
    return profiled_bounds(fitting, granularities(fitting.network, HyreluProact()))


@dataclass
class Shrinking:
    """One call of `shrink`: for which site, what was done before, and which bounds it changed."""

    name: str
    done: list[str]
    changed: list[str]


@pytest.fixture
def shrinkings(monkeypatch: pytest.MonkeyPatch) -> list[Shrinking]:
    """Record the calls of the real `shrink`, site by site."""
    seen, real = [], ProgressiveTraining.shrink

    def watched(progressive: ProgressiveTraining, name: str, *, done: list[str], task: Any) -> None:
        student: Student = progressive._student
        before = student.copy_bounds()
        real(progressive, name, done=done, task=task)
        changed = [n for n, bounds in student.bounds.items() if not same_bits(bounds, before[n])]
        seen.append(Shrinking(name, list(done), changed))

    monkeypatch.setattr(ProgressiveTraining, "shrink", watched)
    return seen


def test_isolated_training_changes_one_bound_tensor_at_a_time_last_site_first(shrinkings: list[Shrinking]) -> None:
    HyreluProact(tolerance=1.0).fit(on_noise())
    assert [(s.name, s.changed) for s in shrinkings] == [(name, [name]) for name in LAST_FIRST]


def test_cumulative_training_changes_those_already_done_too(shrinkings: list[Shrinking]) -> None:
    HyreluProact(tolerance=1.0, mode="cumulative").fit(on_noise())
    assert [s.name for s in shrinkings] == LAST_FIRST
    assert [s.done for s in shrinkings] == [[], ["relu#2"], ["relu#2", "relu#1"]]
    assert [s.changed for s in shrinkings] == [["relu#2"], ["relu#1", "relu#2"], ["relu", "relu#1", "relu#2"]]


def progressive(fitting: Fitting, tolerance: float) -> tuple[ProgressiveTraining, Student]:
    student = Student(fitting.network, profiled(fitting))
    return ProgressiveTraining(fitting, student, tolerance, cumulative=False), student


@pytest.mark.parametrize("bisect", [True, False])
def test_decays_that_all_cost_too_much_are_rejected_and_the_bounds_restored(
    bisect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, bisect=bisect)
    fitting = on_noise()
    # With a tolerance below 0 even an unchanged accuracy costs too much.
    search, student = progressive(fitting, tolerance=-1.0)
    before = student.copy_bounds()
    with SilentReporter().task("", 1) as task:
        search.shrink("relu#1", done=[], task=task)
    assert all(same_bits(bounds, before[name]) for name, bounds in student.bounds.items())
    assert search.n_epochs == 2 * (3 if bisect else 11)  # bisection tries 5, 8 and 10


def test_a_decay_that_costs_too_much_gives_way_to_the_strongest_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, bisect=False, batch=4, n_epochs=(20, 20), learning_rate=(2e-2, 2e-2))
    tried: list[tuple[float, float]] = []
    real = ProgressiveTraining._train

    def watched(search: ProgressiveTraining, trained: Any, bounds: Tensor, decay: float, *, purpose: str) -> None:
        real(search, trained, bounds, decay, purpose=purpose)
        tried.append((decay, search._accuracy()))

    monkeypatch.setattr(ProgressiveTraining, "_train", watched)
    fitting = on_noise()
    search, student = progressive(fitting, tolerance=0.2)
    golden = search._golden_accuracy
    with SilentReporter().task("", 1) as task:
        search.shrink("relu#2", done=[], task=task)
    costs = [abs(golden - reached) for _, reached in tried]
    assert [decay for decay, _ in tried] == list(DECAYS[: len(tried)])
    assert len(tried) > 1
    assert all(cost > 0.2 for cost in costs[:-1])
    assert costs[-1] <= 0.2
    assert measure_accuracy(student.network, fitting.calibration, batch=fitting.batch) == tried[-1][1]


def test_every_trial_starts_from_the_bounds_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Tensor] = []
    real = ProgressiveTraining._train

    def watched(search: ProgressiveTraining, trained: Any, bounds: Tensor, decay: float, *, purpose: str) -> None:
        starts.append(bounds.detach().clone())
        real(search, trained, bounds, decay, purpose=purpose)

    monkeypatch.setattr(ProgressiveTraining, "_train", watched)
    fitting = on_noise()
    search, student = progressive(fitting, tolerance=1.0)
    before = student.copy_bounds()["relu#1"]
    with SilentReporter().task("", 1) as task:
        search.shrink("relu#1", done=[], task=task)
    assert len(starts) > 1
    assert all(same_bits(start, before) for start in starts)
    assert not same_bits(student.bounds["relu#1"], before)


@pytest.mark.slow
def test_the_accuracy_after_all_sites_is_within_the_tolerance(digits_cnn: Network, digits: Splits) -> None:
    fitting = on_digits(digits_cnn.copy(), digits, n_train=200)
    scheme = HyreluProact(tolerance=0.01)
    start = protect_copy(fitting.network, scheme, profiled(fitting))
    found = protect_copy(fitting.network, scheme, scheme.fit(fitting).bounds)
    accuracies = [measure_accuracy(network, fitting.calibration, batch=fitting.batch) for network in (start, found)]
    assert abs(accuracies[0] - accuracies[1]) <= 0.01


def test_bounds_shrink_with_the_decay() -> None:
    # AdamW's decoupled decay multiplies a bound by (1 − lr·decay) a step, whatever the task's gradient does.
    fitting = on_noise()
    search, student = progressive(fitting, tolerance=1.0)
    trained = student.train_only(["relu"])
    before, after = student.copy_bounds(), []
    for decay in (4.0, 4e-1, 4e-11):
        student.restore(before)
        search._train(trained, student.bounds["relu"], decay, purpose="same stream")
        after.append(student.bounds["relu"].item())
    assert after[0] < after[1] < after[2]
    # Two batches at a rate of 0.01 and two half way down the cosine; Adam's own steps are nearly the same.
    remaining = (1 - 0.01 * 4) ** 2 * (1 - 0.005 * 4) ** 2
    assert after[2] - after[0] == pytest.approx((1 - remaining) * before["relu"].item(), rel=0.1)


def test_few_bounds_and_many_are_trained_by_their_own_recipe() -> None:
    recipe = RECIPES["paper"]
    assert [recipe.of(torch.zeros(size)) for size in (1, 3, 4, 2048)] == [(15, 1e-2)] * 2 + [(105, 1e-3)] * 2
    assert recipe.of(torch.zeros(())) == (15, 1e-2)
    assert not recipe.bisect
    assert pytest.approx([4e-1, 4e-2, 4e-3, 4e-4, 4e-5, 4e-6, 4e-7, 4e-8, 4e-9, 4e-10, 4e-11]) == DECAYS


def test_the_fast_recipe_takes_fewer_and_larger_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [FAST.of(torch.zeros(size)) for size in (1, 3, 4, 2048)] == [(6, 5e-2)] * 2 + [(12, 1e-2)] * 2
    assert FAST.bisect
    assert FAST.batch == 32
    monkeypatch.setitem(hyrelu_proact.RECIPES, "fast", FAST)
    # Bisection takes four steps at each site: two sites of one bound, and the last one of a bound per neuron.
    assert HyreluProact(tolerance=1.0).fit(on_noise()).n_epochs == 4 * (6 + 6 + 12)


@given(n_decays=st.integers(0, 40), limit=st.floats(0, 40), bisect=st.booleans())
def test_the_last_affordable_decay_is_the_strongest_there_is(n_decays: int, limit: float, bisect: bool) -> None:
    decays = tuple(float(strength) for strength in range(n_decays, 0, -1))
    tried: list[float] = []

    def affordable(decay: float) -> bool:
        tried.append(decay)
        return decay <= limit

    try_decays(decays, affordable, bisect=bisect)
    kept = [decay for decay in tried if decay <= limit]
    by_trying_all = [decay for decay in decays if decay <= limit]
    assert kept[-1:] == by_trying_all[:1]
    assert len(set(tried)) == len(tried) <= (n_decays.bit_length() if bisect else n_decays)


@pytest.mark.parametrize(("bisect", "expected"), [(False, [5, 4, 3]), (True, [3, 4])])
def test_the_ladder_goes_down_and_bisection_halves(bisect: bool, expected: list[float]) -> None:
    tried: list[float] = []

    def affordable(decay: float) -> bool:
        tried.append(decay)
        return decay <= 3

    try_decays((5, 4, 3, 2, 1), affordable, bisect=bisect)
    assert tried == expected


def test_bounds_are_of_layers_but_of_neurons_at_the_last_site(digits_cnn: Network) -> None:
    grains = granularities(digits_cnn, HyreluProact())
    assert list(grains.values()) == ["layer"] * 4 + ["neuron"]
    assert HyreluProact().granularity_at(Site(0, "relu", (1,), ()), is_last=False) == "layer"


def test_the_loss_is_the_weighted_sum_of_task_distillation_and_penalty() -> None:
    fitting = on_noise()
    search, student = progressive(fitting, tolerance=0.0)
    trained = student.train_only(["relu", "relu#1"])
    pixels, labels = fitting.train.pixels, fitting.train.labels
    with torch.inference_mode():
        logits, teacher = student.network(pixels), fitting.network(pixels)
        log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
        task = -log_p[torch.arange(len(labels)), labels].mean()
        q = teacher.exp() / teacher.exp().sum(dim=1, keepdim=True)
        distillation = -(q * log_p).sum(dim=1).mean()
        penalty = sum(student.bounds[name].square().mean() for name in ("relu", "relu#1"))
        loss = search._loss(pixels, labels, trained)
    assert loss.item() == pytest.approx(float(0.8 * task + 0.1 * distillation + 4e-8 * penalty), rel=1e-5)
    assert F.cross_entropy(logits, labels).item() == pytest.approx(task.item(), rel=1e-5)


def test_no_gradient_reaches_the_teacher_or_a_weight() -> None:
    fitting = on_noise()
    search, student = progressive(fitting, tolerance=0.0)
    trained = student.train_only(["relu"])
    search._loss(fitting.train.pixels, fitting.train.labels, trained).backward()
    assert all(parameter.grad is None for parameter in fitting.network.graph.parameters())
    graded = [parameter for parameter in student.network.graph.parameters() if parameter.grad is not None]
    assert [id(parameter) for parameter in graded] == [id(trained[0])]


@pytest.mark.parametrize("mode", ["isolated", "cumulative"])
def test_the_epochs_that_were_trained_are_counted(mode: Literal["isolated", "cumulative"]) -> None:
    # With every decay affordable, bisection over 11 tries 5, 2, 1 and 0: four trials of two epochs a site.
    assert HyreluProact(tolerance=1.0, mode=mode).fit(on_noise()).n_epochs == 3 * 4 * 2


def test_progress_tells_the_site_the_ladder_step_its_epoch_and_the_accuracy() -> None:
    noting = Noting()
    HyreluProact(tolerance=1.0).fit(on_noise(reporter=noting))
    first_site = [note for note in noting.notes if note.startswith("relu#2: ")]
    assert len(first_site) == 4 * (2 + 1)  # four steps of bisection of two epochs each, and what became of each step
    pattern = r"relu#2: decay 4e-06, epoch {}/2, loss \d\.\d{{3}}, accuracy [01]\.\d{{3}}"
    assert [bool(re.fullmatch(pattern.format(n), note)) for n, note in enumerate(first_site[:2], 1)] == [True, True]
    assert re.fullmatch(r"relu#2: decay 4e-06, kept, accuracy [01]\.\d{3}", first_site[2])
    strict = Noting()
    with strict.task("", 1) as task:
        progressive(on_noise(), tolerance=-1.0)[0].shrink("relu", done=[], task=task)
    assert sum(", rejected, accuracy " in note for note in strict.notes) == 3
