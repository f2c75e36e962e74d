"""`fb.run`: run a campaign from a script."""

import sys
from pathlib import Path

from faultbench.campaign import Campaign, load_campaign
from faultbench.campaign.fields import MAX_COUNT
from faultbench.plugins import registry
from faultbench.results.analysis.results import Results, read_results
from faultbench.results.manifest_file import recorded_device
from faultbench.runner import campaign_runner as runner
from faultbench.runner.run_options import RunOptions
from faultbench.system import arguments
from faultbench.system.devices import n_workers_on, resolve_device
from faultbench.system.error_lines import as_faultbench_error
from faultbench.system.memory_budget import MOST_WORKERS
from faultbench.system.progress.reporter import SilentReporter, reporter


def run(
    campaign: Campaign | str | Path,
    root: str | Path = "results",
    *,
    engine: str = "local",
    n_workers: int | None = None,
    limit: int | None = None,
    fresh: bool = False,
    quiet: bool = False,
    device: str = "auto",
) -> Results:
    """Run what is missing of a campaign in root/<campaign> and return all of its results, as data frames.

    campaign is a loaded campaign or the path of a file, root a folder. Options are those of `faultbench run`: engine is
    one of `faultbench list engines`; n_workers is one per core by default, and two on a card; limit is the most
    trials that each cell runs; fresh archives earlier results; device is auto, cpu or cuda. Progress is shown on stderr
    unless quiet. Plug-ins that the campaign names are run, and files that it names may lie anywhere.
    """
    if isinstance(campaign, str | Path):
        campaign = load_campaign(campaign)
    if not isinstance(campaign, Campaign):
        arguments.refuse("run: campaign", campaign, "the path of a campaign file, or what load_campaign gives")
    folder = arguments.path("run: root", root, "the path of a folder")
    n_workers = None if n_workers is None else _count("run: n_workers", n_workers, MOST_WORKERS)
    limit = None if limit is None else _count("run: limit", limit, MAX_COUNT)
    arguments.text("run: engine", engine, "one of those that `faultbench list engines` prints")
    arguments.choice("run: device", device, ("auto", "cpu", "cuda"))
    with as_faultbench_error():  # a full disk is an EngineError here too
        resolved = resolve_device(device, None if fresh else recorded_device(folder / campaign.name))
        workers = registry.build("engine", engine, {}, n_workers=n_workers or n_workers_on(resolved))
        progress = SilentReporter() if quiet else reporter(is_terminal=sys.stderr.isatty())
        options = RunOptions(limit=limit, device=resolved, n_threads=n_workers)
        results_folder = runner.run_campaign(
            campaign, folder, engine=workers, reporter=progress, options=options, fresh=fresh, command=sys.argv
        )
        return read_results(results_folder)


def _count(where: str, number: int, highest: int) -> int:
    return arguments.whole_number(where, number, lowest=1, highest=highest)
