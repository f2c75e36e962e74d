"""A campaign run from a script."""

import sys
from pathlib import Path

from faultbench.campaign import Campaign
from faultbench.plugins import registry
from faultbench.results.analysis.results import Results, read_results
from faultbench.results.manifest_file import recorded_device
from faultbench.runner import campaign_runner as runner
from faultbench.runner.run_options import Terms
from faultbench.system.devices import chosen, n_workers_on
from faultbench.system.progress.reporter import Silent, reporter


def run(
    campaign: Campaign,
    root: str | Path = "results",
    *,
    engine: str = "local",
    n_workers: int | None = None,
    limit: int | None = None,
    fresh: bool = False,
    quiet: bool = False,
    device: str = "auto",
) -> Results:
    """Do what is missing of a campaign in root/<campaign> and give all of its results, as data frames.

    As `faultbench run`: engine is one of `faultbench list engines`, n_workers one a core by default and two on a card,
    limit ends every cell after so many trials, fresh puts earlier results aside, device is auto, cpu or cuda. Progress
    is shown on stderr unless quiet. Plug-ins that the campaign names are run.
    """
    there = chosen(device, None if fresh else recorded_device(Path(root) / campaign.name))
    workers = registry.build("engine", engine, {}, n_workers=n_workers or n_workers_on(there))
    shown = Silent() if quiet else reporter(is_terminal=sys.stderr.isatty())
    terms = Terms(limit=limit, device=there)
    folder = runner.run(
        campaign, Path(root), engine=workers, reporter=shown, terms=terms, fresh=fresh, command=sys.argv
    )
    return read_results(folder)
