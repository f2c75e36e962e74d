"""Missing trials of each cell: more trials are wanted while its interval is too wide.

The number wanted depends only on the recorded trials of a cell, not on workers or timing: looks come after fixed
numbers of trials, and each uses exactly that many first trials. A cell ends after the same trial, in however many parts
the campaign is run. The confidence sequence of `stats.mean_interval` allows this data-dependent end.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign import Campaign
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.estimates import accuracies
from faultbench.results.journal.contents import JournalContents
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata
from faultbench.results.journal.trial_columns import counts_of


def trials_wanted(
    rule: StoppingRule, known: Sequence[Trial], golden: Golden | None = None, strata: Strata | None = None
) -> int:
    """Return how many first trials a cell should have, as far as its known trials decide.

    known are in the order of their numbers. The cell is done when all wanted trials are known. golden may be None for
    plain trials over all images; strata are the strata of the cell.
    """
    numbers = counts_of(known, "trial")
    if n_below(numbers, rule.n_pilot) < rule.n_pilot:
        return rule.n_pilot
    for look in rule.looks:
        n_known = n_below(numbers, look)
        if n_known < look or _is_narrow(rule, known[:n_known], golden, strata):
            return look
    return rule.n_max


@dataclass(frozen=True)
class Standing:
    """Progress of a cell: the trials that it lacks, and the first trials that belong to its results.

    n_missing leaves out given up trials; for an adaptive cell it counts up to the next look. A cell has more than
    n_asked trials if the campaign once asked for more. Results leave those out, so that they equal those of a campaign
    that never asked for them: the interval of an adaptive cell holds after the look that ends it, not after any number.
    """

    n_missing: int
    n_asked: int


def standing(
    rule: StoppingRule,
    known: Sequence[Trial],
    given_up: Collection[int],
    golden: Golden | None = None,
    strata: Strata | None = None,
) -> Standing:
    """Return the progress of a cell; the arguments are those of `trials_wanted` and `n_lacking`."""
    n_wanted = trials_wanted(rule, known, golden, strata) if rule.until else rule.n_max
    n_missing = n_lacking(n_wanted, known, given_up)
    return Standing(n_missing, rule.n_max if n_missing else n_wanted)


def n_below(numbers: NDArray[np.int64], stop: int) -> int:
    """Return how many of these ascending numbers are below stop, in logarithmic time."""
    return int(np.searchsorted(numbers, stop))


def n_lacking(n_wanted: int, known: Sequence[Trial], given_up: Iterable[int]) -> int:
    """Return how many of the first n_wanted trials of a cell are neither known nor given up.

    known are in the order of their numbers, and none of them is given up.
    """
    return n_wanted - n_below(counts_of(known, "trial"), n_wanted) - sum(number < n_wanted for number in given_up)


def count_missing(campaign: Campaign, known: JournalContents) -> dict[str, int]:
    """Return cell key → how many trials it lacks; for an adaptive cell, up to its next look.

    Given up trials count as done.
    """
    rule, counts = campaign.rule, {}
    given_up = numbers_by_cell(known.quarantined)
    for cell in campaign.cells:
        trials = known.trials.of_cell(cell.key)
        golden, strata = known.goldens.get(cell.subject.key), known.strata.get(cell.key)
        counts[cell.key] = standing(rule, trials, given_up.get(cell.key, ()), golden, strata).n_missing
    return counts


def numbers_by_cell(names: Collection[tuple[str, int]]) -> dict[str, set[int]]:
    """Return cell → trial numbers, given pairs of cell and trial number."""
    numbers: dict[str, set[int]] = {}
    for cell, number in names:
        numbers.setdefault(cell, set()).add(number)
    return numbers


def _is_narrow(rule: StoppingRule, trials: Sequence[Trial], golden: Golden | None, strata: Strata | None) -> bool:
    """Return whether the interval of these trials is as narrow as the rule wants."""
    if rule.until is None:
        return True
    return accuracies(trials, golden, strata).interval(rule).half_width <= rule.until.accuracy_halfwidth
