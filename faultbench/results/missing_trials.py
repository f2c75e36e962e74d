"""Which trials are wanted next: the work goes to the cells whose intervals are still too wide.

What is wanted depends on the recorded trials of a cell and on nothing else, neither workers nor timing: the
looks come after fixed numbers of trials, and each sees just the first so many. Whoever runs the campaign, in
however many parts, ends every cell after the same trial. That data-dependent end is what the confidence sequence
of `stats.mean_interval` is for.
"""

from collections.abc import Iterator, Mapping, Sequence

from faultbench.campaign import Campaign
from faultbench.campaign.stopping_rule import Rule
from faultbench.results.estimates import accuracies
from faultbench.results.journal.journal import JournalContents
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.journal.strata import Strata

Trials = Mapping[tuple[str, int], Trial]
"""Cell and number → trial."""


def wanted(rule: Rule, cell: str, known: Trials, golden: Golden | None = None, strata: Strata | None = None) -> int:
    """How many first trials the cell is to have, as far as the known ones tell.

    All of them known means that the cell is done. golden may be None where trials look at all images and are plain
    ones; strata are those that the cell's are drawn in.
    """
    if any((cell, number) not in known for number in range(rule.n_pilot)):
        return rule.n_pilot
    for look in rule.looks:
        trials = [trial for number in range(look) if (trial := known.get((cell, number)))]
        if len(trials) < look or _is_narrow(rule, trials, golden, strata):
            return look
    return rule.n_max


def missing(
    rule: Rule,
    cell: str,
    known: Trials,
    golden: Golden | None = None,
    strata: Strata | None = None,
    *,
    limit: int | None = None,
) -> Iterator[int]:
    """The numbers of the trials that the cell lacks now, none above the first limit."""
    n_wanted = wanted(rule, cell, known, golden, strata)
    for number in range(n_wanted if limit is None else min(limit, n_wanted)):
        if (cell, number) not in known:
            yield number


def n_foreseen(campaign: Campaign, known: JournalContents) -> dict[str, int]:
    """Cell key → how many trials it still takes, a pilot's and those after it; to its next look where looks may end it.

    Those given up count as done.
    """
    rule, counts = campaign.rule, {}
    for cell in campaign.cells:
        golden, strata = known.goldens.get(cell.subject.key), known.strata.get(cell.key)
        n_wanted = wanted(rule, cell.key, known.trials, golden, strata) if rule.until else rule.n_max
        names = ((cell.key, number) for number in range(n_wanted))
        counts[cell.key] = sum(name not in known.trials and name not in known.quarantined for name in names)
    return counts


def _is_narrow(rule: Rule, trials: Sequence[Trial], golden: Golden | None, strata: Strata | None) -> bool:
    if rule.until is None:
        return True
    return accuracies(trials, golden, strata).interval(rule).half_width <= rule.until.accuracy_halfwidth
