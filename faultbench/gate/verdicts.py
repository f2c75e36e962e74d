"""Compare a run with a baseline, cell by cell: equal if nothing changed, and no worse if something did.

Trials of one number meet the same flips, so a cell is compared trial by trial. With the weights and the environment of
the baseline its outcomes must be equal. Otherwise the golden accuracy, which has no randomness, may drop by the margin
at most, and the pairs are tested against it (`stats.margins`), with Holm's correction over all tested cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from faultbench.gate.baseline import Baseline, BaselineCell, CellName
from faultbench.gate.snapshot import Snapshot
from faultbench.results import stats

State = Literal["identical", "kept", "undecided", "regression", "changed", "unfinished"]

FAILING = frozenset({"regression", "changed", "unfinished"})


@dataclass(frozen=True)
class Verdict:
    """Verdict on one cell; then and now are mean accuracies, fractions, None if no trials pair.

    interval is that of the difference now - then. p is the p-value of a drop within the margin, Holm's correction
    included. reason is a sentence, or empty. n_needed is about how many trials decide an undecided cell, None if more
    than `stats.MOST_PAIRS`.
    """

    cell_name: CellName
    state: State
    reason: str = ""
    n_pairs: int = 0
    then: float | None = None
    now: float | None = None
    interval: stats.Interval | None = None
    p: float | None = None
    n_needed: int | None = None


@dataclass(frozen=True)
class TestedCell:
    """Pairs of accuracies of one cell, tested against the margin and not judged yet."""

    cell_name: CellName
    cause: str
    first: Sequence[float]
    second: Sequence[float]
    p_values: stats.MarginTest
    max_gain: float


def judge_cells(then: Baseline, run: Snapshot, margin: float, max_gain: float = 1.0) -> list[Verdict]:
    """Return a verdict on each cell of the baseline and of the run, in the order of their names.

    margin is a fraction: how far a mean accuracy may drop. max_gain is one too: no memory is assumed to gain more.
    """
    now = run.finished.by_name if run.finished else {}
    names = sorted(then.by_name.keys() | now.keys() | run.unfinished.keys())
    gate = _Gate(then, run, margin, max_gain)
    return list(gate.decide([gate.judge(name) for name in names]))


def environment_changes(then: Baseline, now: Baseline) -> list[str]:
    """Return a phrase per difference of the environments; without one, results must be equal bit for bit."""
    names = sorted(then.environment.keys() | now.environment.keys())
    return [
        f"{name} {then.environment.get(name)} → {now.environment.get(name)}"
        for name in names
        if then.environment.get(name) != now.environment.get(name)
    ]


class _Gate:
    """Comparison of one run with one baseline."""

    def __init__(self, then: Baseline, run: Snapshot, margin: float, max_gain: float) -> None:
        self._then, self._run, self._margin, self._max_gain = then, run, margin, max_gain
        self._elsewhere = bool(run.finished and environment_changes(then, run.finished))
        self._anytime = then.is_adaptive or bool(run.finished and run.finished.is_adaptive)

    def judge(self, name: CellName) -> Verdict | TestedCell:
        """Return the verdict on a cell, or its tested pairs if the verdict needs the tests of the other cells."""
        if name in self._run.unfinished:
            return Verdict(name, "unfinished", f"not finished: {self._run.unfinished[name]}")
        then = self._then.by_name.get(name)
        now = self._run.finished.by_name.get(name) if self._run.finished else None
        if then is None or now is None:
            where = "in the baseline" if then is None else "in the campaign any more"
            return Verdict(name, "changed", f"campaign file: the cell is not {where}")
        if why := self._why_unpaired(then, now):
            return replace(_identical(name, then, now), state="changed", reason=why)
        return self._judge_pairs(name, then, now)

    def decide(self, verdicts: Sequence[Verdict | TestedCell]) -> Iterator[Verdict]:
        """Yield the verdicts, with a verdict in place of each tested cell."""
        tests = [tested for tested in verdicts if isinstance(tested, TestedCell)]
        corrected = stats.holm([tested.p_values.p_within for tested in tests])
        p_of = dict(zip((tested.cell_name for tested in tests), corrected, strict=True))
        for verdict in verdicts:
            if isinstance(verdict, TestedCell):
                verdict = self._decide_cell(verdict, p_of[verdict.cell_name], len(tests))
            yield verdict

    def _why_unpaired(self, then: BaselineCell, now: BaselineCell) -> str:
        """Return why trials of one number do not pair; empty if they do."""
        if self._digest("images", then.dataset) != self._digest("images", now.dataset, now=True):
            return f"data: the test images of {then.dataset} are others than the baseline's"
        if then.n_images != now.n_images:
            return f"campaign file: trials looked at {then.n_images:,} images, now at {now.n_images:,}"
        n_pairs = min(then.n_trials, now.n_trials)
        n_other = int((then.flip_digests[:n_pairs] != now.flip_digests[:n_pairs]).sum())
        if not n_other:
            return ""
        which = f"{n_other:,} of {n_pairs:,} trials meet other flips"
        if then.definition != now.definition:
            return f"campaign file: the cell is defined otherwise, and {which}"
        if then.golden.n_bits != now.golden.n_bits:
            return f"fault space: {then.golden.n_bits:,} bits, now {now.golden.n_bits:,}, and {which}"
        return f"injector: {which} although the campaign asks for the same"

    def _judge_pairs(self, name: CellName, then: BaselineCell, now: BaselineCell) -> Verdict | TestedCell:
        """Return the verdict on a cell whose trials pair, or its tested pairs."""
        same_weights = self._digest("weights", then.network) == self._digest("weights", now.network, now=True)
        identical = _identical(name, then, now)
        if same_weights and then.definition == now.definition:
            differing = _differing(then, now)
            if not differing:
                return identical
            if not self._elsewhere:
                return replace(identical, state="changed", reason=f"numerics: same flips and weights, but {differing}")
        cause = self._cause(then, now, same_weights=same_weights)
        if why := self._golden_drop(then, now):
            return replace(identical, state="regression", reason=f"{cause}: {why}")
        n_pairs = identical.n_pairs
        first, second = then.accuracies[:n_pairs], now.accuracies[:n_pairs]
        max_gain = self._max_gain
        if (gain := float((second - first).max())) > max_gain * (1 + 1e-12):
            cause += f"; a memory gains {100 * gain:.1f} pp, so --max-gain does not hold and was not used"
            max_gain = 1.0
        p_values = stats.margin_test(first, second, self._margin, max_gain=max_gain, anytime=self._anytime)
        return TestedCell(name, cause, first.tolist(), second.tolist(), p_values, max_gain)

    def _golden_drop(self, then: BaselineCell, now: BaselineCell) -> str:
        """Return how far the golden accuracy drops, in words; empty if the margin allows it."""
        n_images = then.golden.n_images
        n_lost = then.golden.n_correct - now.golden.n_correct
        if n_lost <= self._margin * n_images * (1 + 1e-12):  # a margin of 0.005 of 1,000 images allows 5
            return ""
        first, second = (100 * golden.n_correct / n_images for golden in (then.golden, now.golden))
        return f"golden accuracy drops from {first:.2f} to {second:.2f} %, by more than {100 * self._margin:g} pp"

    def _cause(self, then: BaselineCell, now: BaselineCell, *, same_weights: bool) -> str:
        """Return what differs from the baseline, in words."""
        causes = {
            "weights": not same_weights,
            "definition": then.definition != now.definition,
            "environment": self._elsewhere,
        }
        return f"other {' and '.join(name for name, holds in causes.items() if holds)}"

    def _decide_cell(self, tested: TestedCell, p: float, n_tests: int) -> Verdict:
        """Return the verdict on a tested cell; p is corrected for n_tests tests."""
        ends = (-1.0, tested.max_gain)
        difference = stats.mean_difference(tested.first, tested.second, anytime=self._anytime, ends=ends)
        then, now = stats.mean(tested.first), stats.mean(tested.second)
        state, reason, n_needed = self._state(tested, p, n_tests)
        return Verdict(tested.cell_name, state, reason, len(tested.first), then, now, difference.interval, p, n_needed)

    def _state(self, tested: TestedCell, p: float, n_tests: int) -> tuple[State, str, int | None]:
        """Return the state of a tested cell, its reason, and about how many trials decide if these do not."""
        delta, allowed = 1 - stats.CONFIDENCE, f"{100 * self._margin:g} pp"
        if p <= delta:
            return "regression", f"{tested.cause}: drops by more than {allowed}", None
        if tested.p_values.p_beyond <= delta:
            return "kept", f"{tested.cause}: drops by less than {allowed}", None
        n_needed = stats.n_to_decide(
            tested.first, tested.second, self._margin, max_gain=tested.max_gain, n_tests=n_tests
        )
        takes = f"more than {stats.MOST_PAIRS:,}" if n_needed is None else f"about {n_needed:,}"
        return "undecided", f"{tested.cause}: to tell a drop of {allowed} takes {takes} trials", n_needed

    def _digest(self, kind: Literal["images", "weights"], name: str, *, now: bool = False) -> str | None:
        of = self._run.finished if now else self._then
        digests: Mapping[str, str] = getattr(of, kind) if of else {}
        return digests.get(name)


def _identical(name: CellName, then: BaselineCell, now: BaselineCell) -> Verdict:
    """Return the verdict on a cell whose outcomes are equal, with the mean accuracies over its pairs."""
    n_pairs = min(then.n_trials, now.n_trials)
    fewer = f"{n_pairs:,} of the baseline's {then.n_trials:,} trials" if n_pairs < then.n_trials else ""
    first, second = (stats.mean(cell.accuracies[:n_pairs]) for cell in (then, now))
    return Verdict(name, "identical", fewer, n_pairs, first, second)


def _differing(then: BaselineCell, now: BaselineCell) -> str:
    """Return how the outcomes differ, in words; empty if they are equal."""
    if then.golden != now.golden:
        return (
            f"another golden run: {then.golden.n_correct:,} of {then.golden.n_images:,} correct, now "
            f"{now.golden.n_correct:,}; classes {then.golden.top1_digest}, now {now.golden.top1_digest}"
        )
    n_pairs = min(then.n_trials, now.n_trials)
    n_other = int((then.counts[:n_pairs] != now.counts[:n_pairs]).any(axis=1).sum())
    return f"{n_other:,} of {n_pairs:,} trials come out otherwise" if n_other else ""
