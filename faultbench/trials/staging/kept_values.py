"""Choice of the golden values to keep: those that save trials the most time for the memory that they take."""

from collections.abc import Collection, Sequence
from itertools import accumulate

from faultbench.trials.staging.step_costs import StepCosts

UNAFFECTED_SHARE = 0.5
"""Assumed share of faulted bounds that change no activation of a batch. The true share shows only when they run."""

NEGLIGIBLE = 0.05


def choose_kept_values(costs: StepCosts, trials: Sequence[Sequence[int]], budget_bytes: int) -> frozenset[str]:
    """Return the names of the values to keep within the budget so that such trials take the least expected time.

    A trial is given by its faulted steps, ascending. Values are added one after another, each time the one that saves
    the most time per byte. If a single option saves more than all of these together, it is taken instead.
    """
    options = _options(costs, {step for trial in trials for step in trial})
    everything = frozenset[str]().union(*options)
    if _size(costs, everything) <= budget_bytes:
        return everything
    fitting = [option for option in options if _size(costs, option) <= budget_bytes]
    gathered = _gather(costs, trials, fitting, budget_bytes)
    return min([gathered, *fitting], key=lambda kept: expected_s(costs, trials, kept))


def _gather(
    costs: StepCosts, trials: Sequence[Sequence[int]], options: Sequence[frozenset[str]], budget_bytes: int
) -> frozenset[str]:
    """Return the union of options that are added one after another, the one with the highest saving per byte first."""
    kept = frozenset[str]()
    while options:
        worth = {option: _saving_per_byte(costs, trials, kept, option) for option in options}
        options = [o for o in options if worth[o] > 0 and _size(costs, kept | o) <= budget_bytes]
        if options:
            best: frozenset[str] = max(options, key=lambda option: worth[option])
            kept |= best
    return kept


def start_steps(needed: Sequence[tuple[str, ...]], kept: Collection[str]) -> list[int]:
    """Return for each step the latest step up to it from which a run can begin. A run can always begin at step 0."""
    possible = (step if set(names) <= set(kept) else 0 for step, names in enumerate(needed))
    return list(accumulate(possible, max))


def _options(costs: StepCosts, steps: Collection[int]) -> list[frozenset[str]]:
    """Return for each step the values needed to begin there, then the same values with the step's own output."""
    options: list[frozenset[str]] = []
    for step in sorted(steps):
        needed = frozenset(costs.needed[step])
        options += [needed, needed | {costs.outputs[step]}]
    return options


def expected_s(costs: StepCosts, trials: Sequence[Sequence[int]], kept: Collection[str]) -> float:
    """Return the expected seconds of all these trials on one batch when these values are kept."""
    starts = start_steps(costs.needed, kept)
    rest_s = [*accumulate(reversed(costs.seconds), initial=0.0)][::-1]
    return sum(_trial_s(costs, trial, kept, starts, rest_s) for trial in trials)


def _saving_per_byte(
    costs: StepCosts, trials: Sequence[Sequence[int]], kept: frozenset[str], option: frozenset[str]
) -> float:
    """Return the seconds saved for each byte that the option adds."""
    added = _size(costs, kept | option) - _size(costs, kept)
    saved_s = expected_s(costs, trials, kept) - expected_s(costs, trials, kept | option)
    return saved_s / max(added, 1)


def _size(costs: StepCosts, names: Collection[str]) -> int:
    return sum({costs.storage[name]: costs.n_bytes[name] for name in names if name in costs.storage}.values())


def _trial_s(
    costs: StepCosts, trial: Sequence[int], kept: Collection[str], starts: Sequence[int], rest_s: Sequence[float]
) -> float:
    """Return the expected seconds of a trial.

    If the output of a faulted step is kept, the run goes on behind it only if the fault changes the output.
    """
    trial_s, unaffected = 0.0, 1.0
    for step in trial:
        if unaffected < NEGLIGIBLE:
            break
        if starts[step] != step or costs.outputs[step] not in kept:
            return trial_s + unaffected * rest_s[starts[step]]
        affected = unaffected * (1 - UNAFFECTED_SHARE if step in costs.bounding else 1)
        trial_s += unaffected * costs.spliced_s.get(step, costs.seconds[step]) + affected * rest_s[step + 1]
        unaffected -= affected
    return trial_s
