"""Rules for the counts of a trial, for one trial and for columns of many trials.

Every image is masked, an SDC or a DUE; without flips each is masked. Of the images that the golden run has right, a
trial keeps some and loses others as critical SDCs and DUEs; of those that it has wrong, SDCs can mend some.
"""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXTS = ("cell", "flips_digest")

_COUNTS = ("trial", "n_flips", "n_images", "n_correct", "n_masked", "n_sdc", "n_sdc_critical", "n_due")
_SAMPLED = ("n_golden_correct", "n_due_critical")
_SPLIT = ("stratum",)

ABSENT = -1
"""Value in a column of counts for a trial that leaves the count None."""

LARGEST = 2**53 - 1
"""Largest count: floating-point numbers hold it exactly."""

LONGEST_NAME = 500
"""Most characters of the name of a cell, a subject or a fault map."""

Rules = Mapping[str, Callable[[Any], Any]]
"""Name of a violation → function that returns whether a trial has it, or which of many trials have it."""


def count_names(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the counts of a trial: those that every trial has, and the optional ones that are set."""
    is_sampled = any(values.get(name) is not None for name in _SAMPLED)
    is_split = any(values.get(name) is not None for name in _SPLIT)
    return (*_COUNTS, *(_SAMPLED if is_sampled else ()), *(_SPLIT if is_split else ()))


def broken_rule(trial: Any) -> str | None:
    """Return the rule that a trial breaks, whose counts are whole numbers from 0 on; None if it breaks none."""
    known = count_names(vars(trial))
    broken = (
        rule for name, rules in _RULES.items() if name in known for rule, breaks in rules.items() if breaks(trial)
    )
    return next(broken, None)


def broken_rules(trials: Any) -> dict[str, NDArray[np.bool_]]:
    """Return each rule of plain trials over all images → which of many trials break it; counts are arrays."""
    return {rule: np.asarray(breaks(trials)) for rule, breaks in _RULES["trial"].items()}


def sound_counts(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, NDArray[np.int64]] | None:
    """Return the counts of trials as arrays, given their texts and counts by name; None unless all trials are valid."""
    texts, names = [columns[name] for name in TEXTS], {*columns} - {*TEXTS}
    if names not in ({*_COUNTS, *more} for more in ((), _SAMPLED, _SPLIT, (*_SAMPLED, *_SPLIT))):
        return None
    if any({*map(type, text)} != {str} or not all(text) for text in texts):
        return None
    if any(max(map(len, text)) > LONGEST_NAME or not "".join(text).isprintable() for text in texts):
        return None
    if any({*map(type, columns[name])} != {int} or max(columns[name]) > LARGEST for name in names):
        return None
    arrays = {name: np.array(columns[name]) for name in names}
    if any((array < 0).any() for array in arrays.values()):
        return None
    trials = SimpleNamespace(**arrays)
    broken = any(np.any(breaks(trials)) for name in names & {*_RULES} for breaks in _RULES[name].values())
    return None if broken else arrays


def _n_kept(trial: Any) -> Any:
    """Return how many images both the golden run and the trial have right."""
    return trial.n_golden_correct - trial.n_sdc_critical - trial.n_due_critical


def _n_mended(trial: Any) -> Any:
    """Return how many images the trial has right and the golden run wrong."""
    return trial.n_correct - _n_kept(trial)


def _n_finite_wrong(trial: Any) -> Any:
    """Return how many images the golden run has wrong and the trial leaves with finite logits."""
    return trial.n_images - trial.n_golden_correct - (trial.n_due - trial.n_due_critical)


_RULES: Mapping[str, Rules] = {
    "trial": {
        "no images": lambda trial: trial.n_images < 1,
        "more right ones than images": lambda trial: trial.n_correct > trial.n_images,
        "more critical SDCs than SDCs": lambda trial: trial.n_sdc_critical > trial.n_sdc,
        "masked + SDC + DUE must be the images": lambda trial: (
            trial.n_masked + trial.n_sdc + trial.n_due != trial.n_images
        ),
        "more right ones than masked images and SDCs that are not critical": lambda trial: (
            trial.n_correct > trial.n_masked + trial.n_sdc - trial.n_sdc_critical
        ),
        "without flips every image must be masked": lambda trial: (
            (trial.n_flips == 0) & (trial.n_masked != trial.n_images)
        ),
    },
    "n_golden_correct": {
        "the golden run has more right ones than images": lambda trial: trial.n_golden_correct > trial.n_images,
        "more critical DUEs than DUEs": lambda trial: trial.n_due_critical > trial.n_due,
        "more critical ones than the golden run has right": lambda trial: _n_kept(trial) < 0,
        "fewer right ones than those kept": lambda trial: _n_mended(trial) < 0,
        "more mended ones than SDCs that are not critical": lambda trial: (
            _n_mended(trial) > trial.n_sdc - trial.n_sdc_critical
        ),
        "more SDCs than the golden run has wrong": lambda trial: (
            trial.n_sdc - trial.n_sdc_critical > _n_finite_wrong(trial)
        ),
    },
    "stratum": {"a trial without flips is in no stratum": lambda trial: trial.n_flips < 1},
}
"""Rules by the count that a trial must have for them to apply."""
