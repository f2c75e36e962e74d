"""Two schemes of a campaign, or two campaigns, compared trial by trial: trials of one number meet the same flips."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from faultbench.plugins.registry import suggest
from faultbench.results import stats
from faultbench.results.estimates import accuracies
from faultbench.results.folder import CellEntry, ResultsFolder
from faultbench.results.journal.records import Trial
from faultbench.system.errors import FaultbenchError

SHARED = ("dataset", "model", "format", "fault")
PROTECTION = ("scheme", "guard")

Place = tuple[Any, ...]
"""What both cells of a pair have in common; the BER comes last."""


@dataclass(frozen=True)
class Side:
    """What is compared: cells of a folder by their place, and how rows name them."""

    name: str
    folder: ResultsFolder
    cells: Mapping[Place, CellEntry]


@dataclass(frozen=True)
class Pair:
    """One row: what two cells have in common, and how the second differs from the first.

    first and second name the schemes or the folders; scheme and guard are empty where schemes are compared.
    `variance_ratio` is how many times as many trials it would take without pairs; `p_holm` is `p` corrected for
    all rows together.
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
        """Column → value."""
        return asdict(self)


def compare_schemes(folder: ResultsFolder, first: str, second: str) -> list[Pair]:
    """The second scheme against the first, wherever both are; `scheme + guard` names a guarded one."""
    return _compared(*(Side(name, folder, _cells_of(folder, name)) for name in (first, second)))


def compare_folders(first: ResultsFolder, second: ResultsFolder) -> list[Pair]:
    """The second campaign against the first, in all cells that both have."""
    _check_same_flips(first, second)
    return _compared(*(Side(str(folder.path), folder, _all_cells(folder)) for folder in (first, second)))


def _all_cells(folder: ResultsFolder) -> dict[Place, CellEntry]:
    return {_place(entry, guarded=True): entry for entry in folder.manifest.cells}


def _cells_of(folder: ResultsFolder, name: str) -> dict[Place, CellEntry]:
    named = {_protection(entry): None for entry in folder.manifest.cells}
    if name not in named:
        raise FaultbenchError(f"{folder.path}: unknown scheme {suggest(name, named)}")
    return {_place(entry, guarded=False): entry for entry in folder.manifest.cells if _protection(entry) == name}


def _protection(entry: CellEntry) -> str:
    return entry.scheme if entry.guard == "none" else f"{entry.scheme} + {entry.guard}"


def _place(entry: CellEntry, *, guarded: bool) -> Place:
    protection = (entry.scheme, entry.guard) if guarded else ("", "")
    return (entry.dataset, entry.model, *protection, entry.format, entry.fault, entry.ber)


def _check_same_flips(first: ResultsFolder, second: ResultsFolder) -> None:
    """FaultbenchError where trials of one number are not pairs: another seed, other images, another fault space."""
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
    return {entry["label"]: entry for entry in value} if isinstance(value, list) else {None: value}


def _compared(first: Side, second: Side) -> list[Pair]:
    places = [place for place in first.cells if place in second.cells]
    pairs = [pair for place in places for pair in _pair(place, first, second)]
    if not pairs:
        where = " and ".join(dict.fromkeys(str(side.folder.path) for side in (first, second)))
        what = "no trials of the same number in any common cell" if places else "no common cells"
        raise FaultbenchError(
            f"{where}: {what}; compared are cells of one data set, model, format, fault model and BER"
        )
    corrected = stats.holm([pair.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)]


def _pair(place: Place, first: Side, second: Side) -> Iterator[Pair]:
    sides = (first, second)
    rules = [side.folder.manifest.rule for side in sides]
    trials = [{trial.trial: trial for trial in side.folder.trials[side.cells[place].cell]} for side in sides]
    numbers = sorted(trials[0].keys() & trials[1].keys())
    if not numbers:
        return
    goldens = [side.folder.golden(side.cells[place]) for side in sides]
    for number in numbers:
        _check_same_images(trials[1][number], trials[0][number])
    strata = [side.folder.strata(side.cells[place]) for side in sides]
    first_said, second_said = (
        accuracies([of[number] for number in numbers], golden, own)
        for of, golden, own in zip(trials, goldens, strata, strict=True)
    )
    confidence, anytime = max(rule.confidence for rule in rules), any(rule.until for rule in rules)
    found = stats.difference(
        first_said.unscaled,
        second_said.unscaled,
        confidence=confidence,
        anytime=anytime,
        ends=(second_said.low - first_said.high, second_said.high - first_said.low),
    )
    dataset, model, scheme, guard, form, fault, ber = place
    yield Pair(
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
        accuracy_first=first_said.mean,
        accuracy_second=second_said.mean,
        difference=found.mean,
        difference_ci_low=found.interval.low,
        difference_ci_high=found.interval.high,
        p=found.p,
        p_holm=found.p,
        variance_ratio=found.variance_ratio,
        interval=("stratified-" if any(strata) else "") + ("betting-sequence" if anytime else "betting"),
        confidence=confidence,
    )


def _check_same_images(trial: Trial, other: Trial) -> None:
    if trial.n_images != other.n_images and None in (trial.n_golden_correct, other.n_golden_correct):
        raise FaultbenchError(
            f"cells {trial.cell} and {other.cell}: trial {trial.trial} looked at {trial.n_images:,} images in one and "
            f"{other.n_images:,} in the other; only trials over the same images are pairs"
        )
