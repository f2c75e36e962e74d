"""Minimal failure of a trial: a smallest set of its flips that still fails."""

from dataclasses import dataclass

import numpy as np

from faultbench.memory.fault_map import FaultMap
from faultbench.runner.replay.delta_debugging import Minimised, ddmin
from faultbench.runner.replay.replayed_trial import ReplayedTrial
from faultbench.system.errors import FaultbenchError
from faultbench.trials.evaluation import Outcome


@dataclass(frozen=True)
class MinimalFailure:
    """Smallest failing set of a trial's flips, and the rule by which a set fails."""

    rule: str
    flips: Minimised[int]
    """Smallest set that fails, as addresses."""
    outcome: Outcome
    """Outcome of the smallest set."""


def minimise(again: ReplayedTrial, *, points: float | None, max_runs: int) -> MinimalFailure:
    """Return the smallest set of the trial's flips that fails, on the trial's own images.

    A set fails if it turns or ruins at least half as many images as the whole trial: another top-1 class than in the
    golden run, or logits that are not finite. With points, it fails if it costs that many points of accuracy instead.
    FaultbenchError if the whole trial does not fail.
    """
    n_images = again.now.n_images
    whole = again.now.n_sdc + again.now.n_due
    _require_failing(again, points)

    def fails(addresses: tuple[int, ...]) -> bool:
        return _is_failure(again, again.outcome(fault_map_of(addresses)), points)

    flips = ddmin(again.fault_map.addresses.tolist(), fails, max_runs=max_runs)
    half = f"at least {(whole + 1) // 2:,} of {n_images:,} images turned or ruined, half of the trial's {whole:,}"
    rule = half if points is None else f"accuracy at least {points:g} points below the golden run"
    return MinimalFailure(rule, flips, again.outcome(fault_map_of(flips.items)))


def _is_failure(again: ReplayedTrial, outcome: Outcome, points: float | None) -> bool:
    if points is None:
        return 2 * (outcome.n_sdc + outcome.n_due) >= again.now.n_sdc + again.now.n_due
    return 100 * (again.golden.n_correct - outcome.n_correct) >= points * again.now.n_images


def _require_failing(again: ReplayedTrial, points: float | None) -> None:
    """Raise FaultbenchError if the whole trial does not fail."""
    lost = 100 * (again.golden.n_correct - again.now.n_correct) / again.now.n_images
    if points is not None and lost < points:
        raise FaultbenchError(
            f"--points-lost {points:g}: the trial costs {lost:.4g} points; give at most that, above 0"
        )
    if points is None and not again.now.n_sdc + again.now.n_due:
        raise FaultbenchError(f"--minimise: trial {again.now.trial} turns no image; there is nothing to look for")


def fault_map_of(addresses: tuple[int, ...]) -> FaultMap:
    """Return the fault map of these flips alone."""
    return FaultMap(np.array(sorted(addresses), dtype=np.int64))
