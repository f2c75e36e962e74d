"""Check of a campaign: run what is missing, then compare it with a baseline or write one."""

from dataclasses import replace
from pathlib import Path

from faultbench.campaign import Campaign
from faultbench.campaign.input_files import refuse_overwriting
from faultbench.gate.baseline import cell_name_text
from faultbench.gate.baseline_file import write_baseline
from faultbench.gate.judge import Criteria, judge
from faultbench.gate.judgement import UNFINISHED, Judgement
from faultbench.gate.snapshot import refuse_sampled, snapshot
from faultbench.results.folder import read_folder
from faultbench.results.journal.contents import Asked, read_journal
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.run_options import RunSetup
from faultbench.system.errors import FaultbenchError


class UnfinishedError(FaultbenchError):
    """Error of a baseline that is to be written of a campaign that lacks trials."""

    exit_code = UNFINISHED


def check_campaign(campaign: Campaign, setup: RunSetup, criteria: Criteria) -> Judgement:
    """Run what is missing of the campaign in root/<campaign> and judge its results."""
    n_before = 0 if setup.fresh else _n_recorded(campaign, setup.root / campaign.name)
    folder = _run(campaign, setup)
    judgement = judge(campaign, folder, criteria)
    return replace(judgement, notes=[*judgement.notes, *_notes(folder, n_before)])


def update_baseline(campaign: Campaign, setup: RunSetup, criteria: Criteria, path: Path) -> Judgement:
    """Run what is missing, write the baseline to path and judge the limits alone.

    `UnfinishedError` if trials are missing or quarantined; the old baseline then stays.
    """
    refuse_sampled(campaign)
    refuse_overwriting(path, "baseline", campaign, setup.root / campaign.name)
    n_before = 0 if setup.fresh else _n_recorded(campaign, setup.root / campaign.name)
    folder = _run(campaign, setup)
    run = snapshot(campaign, read_folder(folder))
    if run.unfinished or run.finished is None:
        place, reason = next(iter(run.unfinished.items()))
        raise UnfinishedError(f"{path}: not written: {cell_name_text(place)}: {reason}; a baseline needs every trial")
    write_baseline(run.finished, path)
    judgement = judge(campaign, folder, replace(criteria, baseline_file=None, baseline=None))
    written = f"{path}: baseline of {len(run.finished.cells):,} cells written; commit it."
    return replace(judgement, notes=[*_notes(folder, n_before), written])


def _run(campaign: Campaign, setup: RunSetup) -> Path:
    return run_campaign(
        campaign,
        setup.root,
        engine=setup.engine,
        reporter=setup.reporter,
        options=setup.options,
        fresh=setup.fresh,
        command=setup.command,
    )


def _n_recorded(campaign: Campaign, folder: Path) -> int:
    if not (folder / "journal").is_dir():
        return 0
    keys = {cell.key for cell in campaign.cells}
    return sum(
        cell in keys and number < campaign.trials
        for cell, number in read_journal(folder / "journal", Asked.by(campaign)).trials
    )


def _notes(folder: Path, n_before: int) -> list[str]:
    # Code may have changed since: a check of old trials must not pass for a check of new ones.
    if not n_before:
        return []
    return [f"{n_before:,} trials in {folder} are from an earlier run and were not run again; --fresh runs all anew."]
