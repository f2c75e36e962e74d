"""`check` as a function: run what is missing of a campaign, then hold it against a baseline, or write one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from faultbench.campaign import Campaign
from faultbench.gate.baseline import place_text, write_baseline
from faultbench.gate.judge import Demands, judge
from faultbench.gate.judgement import UNFINISHED, Judgement
from faultbench.gate.snapshot import snapshot
from faultbench.results.folder import read_folder
from faultbench.results.journal.journal import read_journal
from faultbench.runner import campaign_runner as runner
from faultbench.runner.engines.engine import Engine
from faultbench.runner.run_options import Terms
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Reporter


class UnfinishedError(FaultbenchError):
    """A baseline was asked for of a campaign that lacks trials."""

    exit_code = UNFINISHED


@dataclass(frozen=True)
class Running:
    """How the campaign is run; nothing here changes a result."""

    root: Path
    engine: Engine
    reporter: Reporter
    terms: Terms
    fresh: bool = False
    command: Sequence[str] = ()


def check(campaign: Campaign, running: Running, demands: Demands) -> Judgement:
    """Run what is missing of the campaign in root/<campaign> and judge what it comes to."""
    n_before = 0 if running.fresh else _n_recorded(campaign, running.root / campaign.name)
    folder = _run(campaign, running)
    found = judge(campaign, folder, demands)
    return replace(found, notes=[*found.notes, *_remarks(folder, n_before)])


def update(campaign: Campaign, running: Running, demands: Demands, path: Path) -> Judgement:
    """Run what is missing, write the baseline to path and judge the limits alone.

    `UnfinishedError`, and the old baseline stands, where trials are missing or quarantined.
    """
    n_before = 0 if running.fresh else _n_recorded(campaign, running.root / campaign.name)
    folder = _run(campaign, running)
    run = snapshot(campaign, read_folder(folder))
    if run.unfinished or run.kept is None:
        place, reason = next(iter(run.unfinished.items()))
        raise UnfinishedError(f"{path}: not written: {place_text(place)}: {reason}; a baseline needs every trial")
    write_baseline(run.kept, path)
    found = judge(campaign, folder, replace(demands, baseline_file=None, baseline=None))
    written = f"{path}: baseline of {len(run.kept.cells):,} cells written; commit it."
    return replace(found, notes=[*_remarks(folder, n_before), written])


def _run(campaign: Campaign, running: Running) -> Path:
    return runner.run(
        campaign,
        running.root,
        engine=running.engine,
        reporter=running.reporter,
        terms=running.terms,
        fresh=running.fresh,
        command=running.command,
    )


def _n_recorded(campaign: Campaign, folder: Path) -> int:
    if not (folder / "journal").is_dir():
        return 0
    keys = {cell.key for cell in campaign.cells}
    return sum(cell in keys for cell, _ in read_journal(folder / "journal").trials)


def _remarks(folder: Path, n_before: int) -> list[str]:
    # Code that changed since would not have been asked: a check of old trials must not pass for one of new ones.
    if not n_before:
        return []
    return [f"{n_before:,} trials in {folder} are from an earlier run and were not run again; --fresh runs all anew."]
