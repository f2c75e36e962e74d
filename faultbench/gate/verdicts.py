"""A run held against a baseline, cell by cell: equal where nothing changed, and no worse where something did.

Trials of one number meet the same flips, so that a cell is compared trial by trial. With weights and environment as in
the baseline its outcomes must be equal; otherwise the pairs are tested against the margin (`stats.margins`), and
Holm's correction holds for all tested cells together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from faultbench.gate.baseline import Baseline, KeptCell, Place
from faultbench.gate.snapshot import Snapshot
from faultbench.results import stats

State = Literal["identical", "kept", "undecided", "regression", "changed", "unfinished"]

FAILING = frozenset({"regression", "changed", "unfinished"})


@dataclass(frozen=True)
class Verdict:
    """What became of one cell; accuracies and difference (now - then) are fractions, None where nothing pairs.

    p is that of a drop within the margin, Holm's correction included. reason is a sentence, or empty.
    """

    place: Place
    state: State
    reason: str = ""
    n_pairs: int = 0
    then: float | None = None
    now: float | None = None
    interval: stats.Interval | None = None
    p: float | None = None


@dataclass(frozen=True)
class Tested:
    """The pairs of one cell, not judged yet."""

    place: Place
    cause: str
    first: Sequence[float]
    second: Sequence[float]
    found: stats.MarginTest


def judged(then: Baseline, run: Snapshot, margin: float) -> list[Verdict]:
    """A verdict on each cell of the baseline and of the run, in the order of their names.

    margin is a fraction; a mean accuracy may drop by so much.
    """
    now = run.kept.by_place if run.kept else {}
    places = sorted(then.by_place.keys() | now.keys() | run.unfinished.keys())
    gate = _Gate(then, run, margin)
    verdicts = [gate.judge(place) for place in places]
    return list(gate.decided(verdicts))


def changes(then: Baseline, now: Baseline) -> list[str]:
    """What the run's surroundings have become, a phrase each; nothing where results must be equal bit for bit."""
    names = sorted(then.environment.keys() | now.environment.keys())
    return [
        f"{name} {then.environment.get(name)} → {now.environment.get(name)}"
        for name in names
        if then.environment.get(name) != now.environment.get(name)
    ]


class _Gate:
    def __init__(self, then: Baseline, run: Snapshot, margin: float) -> None:
        self._then, self._run, self._margin = then, run, margin
        self._elsewhere = bool(run.kept and changes(then, run.kept))
        self._anytime = then.is_adaptive or bool(run.kept and run.kept.is_adaptive)

    def judge(self, place: Place) -> Verdict | Tested:
        """The verdict on a cell as far as it needs no other's, or what there is to test."""
        if place in self._run.unfinished:
            return Verdict(place, "unfinished", f"not finished: {self._run.unfinished[place]}")
        then = self._then.by_place.get(place)
        now = self._run.kept.by_place.get(place) if self._run.kept else None
        if then is None or now is None:
            where = "in the baseline" if then is None else "in the campaign any more"
            return Verdict(place, "changed", f"campaign file: the cell is not {where}")
        if why := self._why_unpaired(then, now):
            return replace(_counted(place, then, now), state="changed", reason=why)
        return self._paired(place, then, now)

    def decided(self, verdicts: Sequence[Verdict | Tested]) -> Iterator[Verdict]:
        """The verdicts, with those that tests give in place of these."""
        tests = [one for one in verdicts if isinstance(one, Tested)]
        corrected = dict(zip((one.place for one in tests), stats.holm([t.found.p_within for t in tests]), strict=True))
        for one in verdicts:
            yield self._decided(one, corrected[one.place], len(tests)) if isinstance(one, Tested) else one

    def _why_unpaired(self, then: KeptCell, now: KeptCell) -> str:
        """Why trials of one number are no pairs; empty where they are."""
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

    def _paired(self, place: Place, then: KeptCell, now: KeptCell) -> Verdict | Tested:
        same_weights = self._digest("weights", then.network) == self._digest("weights", now.network, now=True)
        counted = _counted(place, then, now)
        if same_weights and then.definition == now.definition:
            differing = _differing(then, now)
            if not differing:
                return counted
            if not self._elsewhere:
                return replace(counted, state="changed", reason=f"numerics: same flips and weights, but {differing}")
        cause = self._cause(then, now, same_weights=same_weights)
        n_pairs = counted.n_pairs
        first, second = then.accuracies[:n_pairs], now.accuracies[:n_pairs]
        found = stats.margin_test(first, second, self._margin, anytime=self._anytime)
        return Tested(place, cause, first.tolist(), second.tolist(), found)

    def _cause(self, then: KeptCell, now: KeptCell, *, same_weights: bool) -> str:
        causes = {
            "weights": not same_weights,
            "definition": then.definition != now.definition,
            "environment": self._elsewhere,
        }
        return f"other {' and '.join(name for name, holds in causes.items() if holds)}"

    def _decided(self, test: Tested, p: float, n_tests: int) -> Verdict:
        difference = stats.difference(test.first, test.second, anytime=self._anytime)
        then, now = stats.mean(test.first), stats.mean(test.second)
        state, reason = self._state(test, p, n_tests)
        return Verdict(test.place, state, reason, len(test.first), then, now, difference.interval, p)

    def _state(self, test: Tested, p: float, n_tests: int) -> tuple[State, str]:
        delta, allowed = 1 - stats.CONFIDENCE, f"{100 * self._margin:g} pp"
        if p <= delta:
            return "regression", f"{test.cause}: drops by more than {allowed}"
        if test.found.p_beyond <= delta:
            return "kept", f"{test.cause}: drops by less than {allowed}"
        n_needed = stats.n_to_decide(test.first, test.second, self._margin, n_tests=n_tests)
        takes = "more than 200,000" if n_needed is None else f"about {n_needed:,}"
        return "undecided", f"{test.cause}: to tell a drop of {allowed} takes {takes} trials"

    def _digest(self, kind: Literal["images", "weights"], name: str, *, now: bool = False) -> str | None:
        of = self._run.kept if now else self._then
        digests: Mapping[str, str] = getattr(of, kind) if of else {}
        return digests.get(name)


def _counted(place: Place, then: KeptCell, now: KeptCell) -> Verdict:
    n_pairs = min(then.n_trials, now.n_trials)
    fewer = f"{n_pairs:,} of the baseline's {then.n_trials:,} trials" if n_pairs < then.n_trials else ""
    first, second = (stats.mean(cell.accuracies[:n_pairs]) for cell in (then, now))
    return Verdict(place, "identical", fewer, n_pairs, first, second)


def _differing(then: KeptCell, now: KeptCell) -> str:
    """In what outcomes differ; empty where they are equal."""
    if then.golden != now.golden:
        return (
            f"another golden run: {then.golden.n_correct:,} of {then.golden.n_images:,} correct, now "
            f"{now.golden.n_correct:,}; classes {then.golden.top1_digest}, now {now.golden.top1_digest}"
        )
    n_pairs = min(then.n_trials, now.n_trials)
    n_other = int((then.counts[:n_pairs] != now.counts[:n_pairs]).any(axis=1).sum())
    return f"{n_other:,} of {n_pairs:,} trials come out otherwise" if n_other else ""
