"""What a trial must hold, as rules for one trial and for the columns of many.

Every image is masked, an SDC or a DUE; without flips each is masked. Of those that the golden run had right a trial
keeps some and loses others as critical SDCs and DUEs; of those that it had wrong an SDC may mend some.
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

_LARGEST = 2**60
"""Of counts that are added up in arrays; where there is a larger one, trials are looked at one by one."""

Rules = Mapping[str, Callable[[Any], Any]]
"""What is wrong → whether it is with a trial, or with which of many whose counts are arrays."""


def counts(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the counts of a trial: those that each must have, and of the others those that say something."""
    is_sampled = any(values.get(name) is not None for name in _SAMPLED)
    is_split = any(values.get(name) is not None for name in _SPLIT)
    return (*_COUNTS, *(_SAMPLED if is_sampled else ()), *(_SPLIT if is_split else ()))


def broken_rule(trial: Any) -> str | None:
    """What is wrong with a trial whose counts are whole numbers from 0 on; None where nothing is."""
    known = counts(vars(trial))
    broken = (
        rule for name, rules in _RULES.items() if name in known for rule, breaks in rules.items() if breaks(trial)
    )
    return next(broken, None)


def sound_counts(columns: Mapping[str, Sequence[Any]]) -> Mapping[str, NDArray[np.int64]] | None:
    """The counts of trials as arrays, given their texts and counts by name; None unless for certain all are sound."""
    texts, names = [columns[name] for name in TEXTS], {*columns} - {*TEXTS}
    if names not in ({*_COUNTS, *more} for more in ((), _SAMPLED, _SPLIT, (*_SAMPLED, *_SPLIT))):
        return None
    if any({*map(type, text)} != {str} or not all(text) for text in texts):
        return None
    if any({*map(type, columns[name])} != {int} or max(columns[name]) > _LARGEST for name in names):
        return None
    arrays = {name: np.array(columns[name]) for name in names}
    if any((array < 0).any() for array in arrays.values()):
        return None
    trials = SimpleNamespace(**arrays)
    broken = any(np.any(breaks(trials)) for name in names & {*_RULES} for breaks in _RULES[name].values())
    return None if broken else arrays


def _n_kept(trial: Any) -> Any:
    """Images that the golden run and the trial have right."""
    return trial.n_golden_correct - trial.n_sdc_critical - trial.n_due_critical


def _n_mended(trial: Any) -> Any:
    """Images that the trial has right, and the golden run wrong."""
    return trial.n_correct - _n_kept(trial)


def _n_finite_wrong(trial: Any) -> Any:
    """Images that the golden run has wrong and whose logits the trial leaves finite."""
    return trial.n_images - trial.n_golden_correct - (trial.n_due - trial.n_due_critical)


_RULES: Mapping[str, Rules] = {
    "trial": {
        "no images": lambda trial: trial.n_images < 1,
        "more right ones than images": lambda trial: trial.n_correct > trial.n_images,
        "more critical SDCs than SDCs": lambda trial: trial.n_sdc_critical > trial.n_sdc,
        "masked + SDC + DUE must be the images": lambda trial: (
            trial.n_masked + trial.n_sdc + trial.n_due != trial.n_images
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
"""By the count that a trial must have for them to hold."""
