"""A results folder judged: against a baseline if there is one, and against absolute limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultbench.campaign import Campaign, canonical
from faultbench.gate.baseline import Baseline, KeptCell, Place, read_baseline
from faultbench.gate.judgement import Judgement
from faultbench.gate.limits import Limit, limit_verdicts, read_limit
from faultbench.gate.margin import read_margin
from faultbench.gate.snapshot import Snapshot, settings_of, snapshot
from faultbench.gate.verdicts import changes, judged
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import LABELS, read_folder
from faultbench.system.errors import FaultbenchError

MAX_DROP = "0.5pp"
"""The margin unless another is given."""


@dataclass(frozen=True)
class Demands:
    """What a run is held against; all of it read and checked before anything runs.

    margin is a fraction, the drop of a mean accuracy that is allowed where weights or environment changed.
    """

    baseline_file: Path | None
    baseline: Baseline | None
    limits: Sequence[Limit]
    margin: float
    is_strict: bool = False


def read_demands(
    campaign: Campaign,
    *,
    baseline: Path | None,
    max_drop: str = MAX_DROP,
    fail_if: Sequence[str] = (),
    is_strict: bool = False,
) -> Demands:
    """The demands that texts spell; FaultbenchError where they do not go with the campaign."""
    places = [place_of(campaign, index) for index in range(len(campaign.cells))]
    limits = [read_limit(text, places) for text in fail_if]
    kept = None if baseline is None else read_baseline(baseline)
    if kept is not None and baseline is not None:
        _check_same(campaign, kept, baseline)
    return Demands(baseline, kept, limits, read_margin(max_drop), is_strict)


def place_of(campaign: Campaign, index: int) -> Place:
    """What a cell of the campaign will be called."""
    cell = campaign.cells[index]
    return (*(getattr(cell.subject, label).label for label in LABELS), cell.ber)


def judge(campaign: Campaign, path: Path, demands: Demands) -> Judgement:
    """What the results folder at path comes to under the demands."""
    run = snapshot(campaign, read_folder(path))
    verdicts = [] if demands.baseline is None else judged(demands.baseline, run, demands.margin)
    rows = read_results(path).cells.to_dict("records") if demands.limits else []
    limits = limit_verdicts(demands.limits, rows)
    return Judgement(
        campaign.name, demands.baseline_file, verdicts, limits, _notes(demands.baseline, run), demands.is_strict
    )


def _notes(then: Baseline | None, run: Snapshot) -> list[str]:
    if then is None or run.kept is None:
        return []
    now = run.kept
    moved = changes(then, now)
    notes = []
    if moved:
        notes.append(
            f"The environment is not the baseline's ({'; '.join(moved)}): last bits may differ there, so cells that "
            "came out otherwise were tested against the margin instead of for equality."
        )
    changed = sorted(
        name for name in then.weights.keys() & now.weights.keys() if then.weights[name] != now.weights[name]
    )
    if changed:
        notes.append(f"The weights are not the baseline's: {', '.join(changed)}.")
    return [*notes, *_golden_notes(then, now)]


def _golden_notes(then: Baseline, now: Baseline) -> Iterator[str]:
    """What became of golden accuracies, which no trial tells: a sentence a subject."""
    both = {place: (cell, now.by_place[place]) for place, cell in then.by_place.items() if place in now.by_place}
    subjects = {place[:-1]: [_golden_percent(cell) for cell in cells] for place, cells in sorted(both.items())}
    for labels, (before, after) in subjects.items():
        if before != after:
            yield f"Golden accuracy of {'/'.join(map(str, labels))}: {before} % → {after} %."


def _golden_percent(cell: KeptCell) -> str:
    return f"{100 * cell.golden.n_correct / cell.golden.n_images:.2f}"


def _check_same(campaign: Campaign, kept: Baseline, path: Path) -> None:
    """FaultbenchError where no trial of the campaign could have a partner in the baseline."""
    if kept.campaign != campaign.name:
        raise FaultbenchError(
            f"{path}: the baseline of another campaign: {kept.campaign!r} there, {campaign.name!r} here; "
            "give its own, or add --update-baseline"
        )
    if kept.identity == campaign.identity:
        return
    there, here = kept.settings, settings_of(campaign)
    differing = [
        f"{key} {canonical(there.get(key))} there, {canonical(here[key])} here"
        for key in here
        if there.get(key) != here[key]
    ]
    why = "; ".join(differing)[:300] or "it was made by another version of faultbench"
    raise FaultbenchError(
        f"{path}: no trial of this campaign has a partner there: {why}; add --update-baseline if that is meant"
    )
