"""Judge a results folder: compare it with a baseline if there is one, and check its limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultbench.campaign import Campaign, canonical_text
from faultbench.gate.baseline import Baseline, BaselineCell, CellName
from faultbench.gate.baseline_file import read_baseline
from faultbench.gate.judgement import Judgement
from faultbench.gate.limits import Limit, limit_verdicts, read_limit, read_margin, read_max_gain
from faultbench.gate.snapshot import Snapshot, refuse_sampled, settings_of, snapshot
from faultbench.gate.verdicts import Verdict, environment_changes, judge_cells
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import LABELS, read_folder
from faultbench.system.errors import FaultbenchError

MAX_DROP = "0.5pp"
"""Default of `--max-drop`."""


@dataclass(frozen=True)
class Criteria:
    """Baseline, limits and margin that a run must meet; they are read and checked before anything runs.

    margin is a fraction: how far a mean accuracy may drop if the weights or the environment changed. max_gain is one
    too: no memory is assumed to gain more. With is_strict, an undecided cell fails.
    """

    baseline_file: Path | None
    baseline: Baseline | None
    limits: Sequence[Limit]
    margin: float
    is_strict: bool = False
    max_gain: float = 1.0


def read_criteria(
    campaign: Campaign,
    *,
    baseline: Path | None,
    max_drop: str = MAX_DROP,
    max_gain: str | None = None,
    fail_if: Sequence[str] = (),
    is_strict: bool = False,
) -> Criteria:
    """Return the criteria that options spell; FaultbenchError if they do not fit the campaign."""
    cell_names = [cell_name_of(campaign, index) for index in range(len(campaign.cells))]
    limits = [read_limit(text, cell_names) for text in fail_if]
    recorded = None
    if baseline is not None:
        refuse_sampled(campaign)
        recorded = read_baseline(baseline)
        _check_same(campaign, recorded, baseline)
    return Criteria(baseline, recorded, limits, read_margin(max_drop), is_strict, read_max_gain(max_gain))


def cell_name_of(campaign: Campaign, index: int) -> CellName:
    """Return the name of a cell of the campaign, as results will have it."""
    cell = campaign.cells[index]
    return (*(getattr(cell.subject, label).label for label in LABELS), cell.ber)


def judge(campaign: Campaign, path: Path, criteria: Criteria) -> Judgement:
    """Return the judgement on the results folder at path."""
    verdicts, notes = _compare(campaign, path, criteria)
    rows = read_results(path).cells.to_dict("records") if criteria.limits else []
    limits = limit_verdicts(criteria.limits, rows)
    return Judgement(campaign.name, criteria.baseline_file, verdicts, limits, notes, criteria.is_strict)


def _compare(campaign: Campaign, path: Path, criteria: Criteria) -> tuple[list[Verdict], list[str]]:
    """Return verdicts and notes on the results folder at path against the baseline; both empty without a baseline."""
    if criteria.baseline is None:
        return [], []
    run = snapshot(campaign, read_folder(path))
    return judge_cells(criteria.baseline, run, criteria.margin, criteria.max_gain), _notes(criteria.baseline, run)


def _notes(then: Baseline, run: Snapshot) -> list[str]:
    """Return sentences on changes of the environment, the weights and the golden accuracies."""
    if run.finished is None:
        return []
    now = run.finished
    changes = environment_changes(then, now)
    notes = []
    if changes:
        notes.append(
            f"The environment is not the baseline's ({'; '.join(changes)}): last bits may differ there, so cells that "
            "came out otherwise were tested against the margin instead of for equality."
        )
    changed = sorted(
        name for name in then.weights.keys() & now.weights.keys() if then.weights[name] != now.weights[name]
    )
    if changed:
        notes.append(f"The weights are not the baseline's: {', '.join(changed)}.")
    return [*notes, *_golden_notes(then, now)]


def _golden_notes(then: Baseline, now: Baseline) -> Iterator[str]:
    """Yield a sentence for each subject whose golden accuracy changed."""
    both = {name: (cell, now.by_name[name]) for name, cell in then.by_name.items() if name in now.by_name}
    subjects = {name[:-1]: [_golden_percent(cell) for cell in cells] for name, cells in sorted(both.items())}
    for labels, (before, after) in subjects.items():
        if before != after:
            yield f"Golden accuracy of {'/'.join(map(str, labels))}: {before} % → {after} %."


def _golden_percent(cell: BaselineCell) -> str:
    return f"{100 * cell.golden.n_correct / cell.golden.n_images:.2f}"


def _check_same(campaign: Campaign, baseline: Baseline, path: Path) -> None:
    """Raise FaultbenchError if no trial of the campaign can pair with one of the baseline."""
    if baseline.campaign != campaign.name:
        raise FaultbenchError(
            f"{path}: the baseline of another campaign: {baseline.campaign!r} there, {campaign.name!r} here; "
            "give its own, or add --update-baseline"
        )
    if baseline.identity == campaign.identity:
        return
    why = _difference(baseline.settings, settings_of(campaign))
    raise FaultbenchError(
        f"{path}: no trial of this campaign has a partner there: {why}; add --update-baseline if that is meant"
    )


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return how the settings of a baseline and of a campaign differ, in words."""
    differing = [
        f"{key} {canonical_text(there.get(key))} there, {canonical_text(here[key])} here"
        for key in here
        if there.get(key) != here[key]
    ]
    return "; ".join(differing)[:300] or "it was made by another version of faultbench"
