"""A campaign run from a script."""

import sys
from pathlib import Path

from joblib import cpu_count

from faultbench import registry, runner
from faultbench.campaign import Campaign
from faultbench.progress import Silent, reporter
from faultbench.tables import Results, read_results
from faultbench.terms import Terms


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

    As `faultbench run`: engine is one of `faultbench list engines`, n_workers one a core by default, limit ends every
    cell after so many trials, fresh puts earlier results aside, device is auto, cpu or cuda. Progress is shown on
    stderr unless quiet. Plug-ins that the campaign names are run.
    """
    chosen = registry.build("engine", engine, {}, n_workers=n_workers or cpu_count())
    shown = Silent() if quiet else reporter(is_terminal=sys.stderr.isatty())
    terms = Terms(limit=limit, device=device)
    folder = runner.run(campaign, Path(root), engine=chosen, reporter=shown, terms=terms, fresh=fresh, command=sys.argv)
    return read_results(folder)
