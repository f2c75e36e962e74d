"""Which values of the golden run to keep, so that trials save the most time for the memory that they take."""

from collections.abc import Collection, Sequence
from itertools import accumulate

from faultbench.trials.staging.step_costs import Costs

UNNOTICED = 0.5
"""Assumed share of faulted bounds that change no activation of a batch; what is true shows only as they are run."""

NEGLIGIBLE = 0.05


def kept_values(costs: Costs, trials: Sequence[Sequence[int]], budget_bytes: int) -> frozenset[str]:
    """The values to keep within the budget for the least expected time of trials like these.

    A trial is the steps that it finds faulted, ascending. Values join one after another, always those that save
    most for each byte that they add; where that fills the room with small change, the best single choice wins.
    """
    options = _options(costs, {step for trial in trials for step in trial})
    everything = frozenset[str]().union(*options)
    if _size(costs, everything) <= budget_bytes:
        return everything
    fitting = [option for option in options if _size(costs, option) <= budget_bytes]
    gathered = _gathered(costs, trials, fitting, budget_bytes)
    return min([gathered, *fitting], key=lambda kept: expected_s(costs, trials, kept))


def _gathered(
    costs: Costs, trials: Sequence[Sequence[int]], options: Sequence[frozenset[str]], budget_bytes: int
) -> frozenset[str]:
    kept = frozenset[str]()
    while options:
        worth = {option: _worth(costs, trials, kept, option) for option in options}
        options = [o for o in options if worth[o] > 0 and _size(costs, kept | o) <= budget_bytes]
        if options:
            best: frozenset[str] = max(options, key=lambda option: worth[option])
            kept |= best
    return kept


def beginnings(needed: Sequence[tuple[str, ...]], kept: Collection[str]) -> list[int]:
    """For every step the latest one up to it from which a run can begin with these values kept; 0 always can."""
    possible = (step if set(names) <= set(kept) else 0 for step, names in enumerate(needed))
    return list(accumulate(possible, max))


def _options(costs: Costs, steps: Collection[int]) -> list[frozenset[str]]:
    """What it takes to begin at each of the steps, and what to begin behind it once its own output is known."""
    found: list[frozenset[str]] = []
    for step in sorted(steps):
        needed = frozenset(costs.needed[step])
        found += [needed, needed | {costs.made[step]}]
    return found


def expected_s(costs: Costs, trials: Sequence[Sequence[int]], kept: Collection[str]) -> float:
    """Seconds that such trials are expected to take together, on one batch and with these values kept."""
    begin = beginnings(costs.needed, kept)
    rest = [*accumulate(reversed(costs.seconds), initial=0.0)][::-1]
    return sum(_trial_s(costs, trial, kept, begin, rest) for trial in trials)


def _worth(costs: Costs, trials: Sequence[Sequence[int]], kept: frozenset[str], option: frozenset[str]) -> float:
    """Seconds saved for each byte that the option adds."""
    added = _size(costs, kept | option) - _size(costs, kept)
    saved_s = expected_s(costs, trials, kept) - expected_s(costs, trials, kept | option)
    return saved_s / max(added, 1)


def _size(costs: Costs, names: Collection[str]) -> int:
    return sum({costs.storage[name]: costs.n_bytes[name] for name in names if name in costs.storage}.values())


def _trial_s(
    costs: Costs, trial: Sequence[int], kept: Collection[str], begin: Sequence[int], rest: Sequence[float]
) -> float:
    """Expected seconds of a trial: behind a step whose output is kept, it goes on only if a fault is felt there."""
    expected_s, going_on = 0.0, 1.0
    for step in trial:
        if going_on < NEGLIGIBLE:
            break
        if begin[step] != step or costs.made[step] not in kept:
            return expected_s + going_on * rest[begin[step]]
        felt = going_on * (1 - UNNOTICED if step in costs.bounding else 1)
        expected_s += going_on * costs.spliced_s.get(step, costs.seconds[step]) + felt * rest[step + 1]
        going_on -= felt
    return expected_s
