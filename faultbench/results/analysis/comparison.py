"""Compare two schemes of a campaign, or two campaigns, trial by trial: trials of one number meet the same flips."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from faultbench.plugins.registry import suggest
from faultbench.results import stats
from faultbench.results.estimates import accuracies
from faultbench.results.folder import CellEntry, ResultsFolder
from faultbench.results.journal.records import Trial
from faultbench.results.labels import protection
from faultbench.system.errors import FaultbenchError

SharedLabels = tuple[Any, ...]
"""Labels that both cells of a pair have, then their BER."""


@dataclass(frozen=True)
class ComparedSide:
    """Side of a comparison: its name in the rows, and its cells by the labels that pair them."""

    name: str
    folder: ResultsFolder
    cells: Mapping[SharedLabels, CellEntry]


@dataclass(frozen=True)
class ComparedPair:
    """Row of a comparison: the labels that two cells share, and how the second differs from the first.

    first and second name the schemes or the folders; scheme and guard are empty if schemes are compared.
    `variance_ratio` is how many times as many trials unpaired runs would take; `p_holm` is `p` corrected for all rows.
    """

    first: str
    second: str
    dataset: str
    model: str
    scheme: str
    guard: str
    format: str
    fault: str
    ber: float
    trials: int
    accuracy_first: float
    accuracy_second: float
    difference: float
    difference_ci_low: float
    difference_ci_high: float
    p: float
    p_holm: float
    variance_ratio: float
    interval: str
    confidence: float

    @property
    def row(self) -> dict[str, Any]:
        """Return column → value."""
        return asdict(self)


def compare_schemes(folder: ResultsFolder, first: str, second: str) -> list[ComparedPair]:
    """Compare the second scheme with the first in all cells that both have; `scheme + guard` names a guarded one."""
    return _compare(*(ComparedSide(name, folder, _cells_of(folder, name)) for name in (first, second)))


def compare_folders(first: ResultsFolder, second: ResultsFolder) -> list[ComparedPair]:
    """Compare the second campaign with the first in all cells that both have."""
    _check_same_flips(first, second)
    return _compare(*(ComparedSide(str(folder.path), folder, _all_cells(folder)) for folder in (first, second)))


def _all_cells(folder: ResultsFolder) -> dict[SharedLabels, CellEntry]:
    return {_shared_labels(entry, guarded=True): entry for entry in folder.manifest.cells}


def _cells_of(folder: ResultsFolder, name: str) -> dict[SharedLabels, CellEntry]:
    named = [(protection(entry.scheme, entry.guard), entry) for entry in folder.manifest.cells]
    if name not in dict(named):
        raise FaultbenchError(f"{folder.path}: unknown scheme {suggest(name, dict(named))}")
    return {_shared_labels(entry, guarded=False): entry for label, entry in named if label == name}


def _shared_labels(entry: CellEntry, *, guarded: bool) -> SharedLabels:
    """Return the labels and the BER of a cell; scheme and guard are empty unless guarded."""
    names = (entry.scheme, entry.guard) if guarded else ("", "")
    return (entry.dataset, entry.model, *names, entry.format, entry.fault, entry.ber)


def _check_same_flips(first: ResultsFolder, second: ResultsFolder) -> None:
    """Raise FaultbenchError if trials of one number do not pair: other seed, images or fault space."""
    specs = [folder.manifest.spec.model_dump() for folder in (first, second)]
    for key in ("seed", "images", "datasets", "formats", "faults"):
        there, here = (_by_label(spec.get(key)) for spec in specs)
        for label in there.keys() & here.keys():
            if there[label] != here[label]:
                raise FaultbenchError(
                    f"{first.path} and {second.path}: campaigns that do not pair: {key} {there[label]} in the first, "
                    f"{here[label]} in the second; trials of one number must meet the same flips and images"
                )


def _by_label(value: Any) -> dict[Any, Any]:
    return {entry.get("label"): entry for entry in value} if isinstance(value, list) else {None: value}


def _compare(first: ComparedSide, second: ComparedSide) -> list[ComparedPair]:
    shared = [labels for labels in first.cells if labels in second.cells]
    pairs = [pair for labels in shared for pair in _pair(labels, first, second)]
    if not pairs:
        where = " and ".join(dict.fromkeys(str(side.folder.path) for side in (first, second)))
        what = "no trials of the same number in any common cell" if shared else "no common cells"
        raise FaultbenchError(
            f"{where}: {what}; compared are cells of one data set, model, format, fault model and BER"
        )
    corrected = stats.holm([pair.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)]


def _pair(labels: SharedLabels, first: ComparedSide, second: ComparedSide) -> Iterator[ComparedPair]:
    """Yield the row of a pair of cells; nothing if they have no trial number in common."""
    sides = (first, second)
    rules = [side.folder.manifest.rule for side in sides]
    trials = [{trial.trial: trial for trial in side.folder.trials[side.cells[labels].cell]} for side in sides]
    numbers = sorted(trials[0].keys() & trials[1].keys())
    if not numbers:
        return
    goldens = [side.folder.golden(side.cells[labels]) for side in sides]
    for number in numbers:
        _check_same_images(trials[1][number], trials[0][number])
    strata = [side.folder.strata(side.cells[labels]) for side in sides]
    first_mean, second_mean = (
        accuracies([of[number] for number in numbers], golden, own)
        for of, golden, own in zip(trials, goldens, strata, strict=True)
    )
    confidence, anytime = max(rule.confidence for rule in rules), any(rule.is_sequence for rule in rules)
    difference = stats.mean_difference(
        first_mean.unscaled,
        second_mean.unscaled,
        confidence=confidence,
        anytime=anytime,
        ends=(second_mean.low - first_mean.high, second_mean.high - first_mean.low),
    )
    dataset, model, scheme, guard, form, fault, ber = labels
    yield ComparedPair(
        first=first.name,
        second=second.name,
        dataset=dataset,
        model=model,
        scheme=scheme,
        guard=guard,
        format=form,
        fault=fault,
        ber=ber,
        trials=len(numbers),
        accuracy_first=first_mean.mean,
        accuracy_second=second_mean.mean,
        difference=difference.mean,
        difference_ci_low=difference.interval.low,
        difference_ci_high=difference.interval.high,
        p=difference.p,
        p_holm=difference.p,
        variance_ratio=difference.variance_ratio,
        interval=("stratified-" if any(strata) else "") + ("betting-sequence" if anytime else "betting"),
        confidence=confidence,
    )


def _check_same_images(trial: Trial, other: Trial) -> None:
    """Raise FaultbenchError if two trials over all images looked at different numbers of them."""
    if trial.n_images != other.n_images and None in (trial.n_golden_correct, other.n_golden_correct):
        raise FaultbenchError(
            f"cells {trial.cell} and {other.cell}: trial {trial.trial} looked at {trial.n_images:,} images in one and "
            f"{other.n_images:,} in the other; only trials over the same images are pairs"
        )
