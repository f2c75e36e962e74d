"""Which few of a trial's flips do the harm: the smallest set that still fails."""

from dataclasses import dataclass

import numpy as np

from faultbench.memory.fault_map import FaultMap
from faultbench.runner.replay.delta_debugging import Minimised, ddmin
from faultbench.runner.replay.replayed_trial import Again
from faultbench.system.errors import FaultbenchError
from faultbench.trials.evaluation import Outcome


@dataclass(frozen=True)
class Failing:
    """When a set of flips fails, and the smallest that does."""

    rule: str
    found: Minimised[int]
    """Addresses."""
    outcome: Outcome
    """Of the smallest set."""


def minimise(again: Again, *, points: float | None, max_runs: int) -> Failing:
    """The smallest set of the trial's flips that fails, on the trial's own images.

    It fails when it turns or ruins at least half as many images as the whole trial: another top-1 class than in the
    golden run, or logits that are not finite. With points, when it costs that many points of accuracy instead.
    FaultbenchError when the whole trial does not fail.
    """
    n_images, golden = again.now.n_images, again.golden.n_correct
    whole = again.now.n_sdc + again.now.n_due
    lost = 100 * (golden - again.now.n_correct) / n_images
    if points is not None and lost < points:
        raise FaultbenchError(f"--fails-at {points:g}: the trial costs {lost:.4g} points; give at most that, above 0")
    if points is None and not whole:
        raise FaultbenchError(f"--minimise: trial {again.now.trial} turns no image; there is nothing to look for")

    def fails(addresses: tuple[int, ...]) -> bool:
        outcome = again.outcome(fault_map_of(addresses))
        if points is None:
            return 2 * (outcome.n_sdc + outcome.n_due) >= whole
        return 100 * (golden - outcome.n_correct) >= points * n_images

    found = ddmin(again.fault_map.addresses.tolist(), fails, max_runs=max_runs)
    half = f"at least {(whole + 1) // 2:,} of {n_images:,} images turned or ruined, half of the trial's {whole:,}"
    rule = half if points is None else f"accuracy at least {points:g} points below the golden run"
    return Failing(rule, found, again.outcome(fault_map_of(found.items)))


def fault_map_of(addresses: tuple[int, ...]) -> FaultMap:
    """These flips alone."""
    return FaultMap(np.array(sorted(addresses), dtype=np.int64))
