"""Builders of runs of a small campaign that start with networks of an earlier run."""

import shutil
from pathlib import Path

from faultbench.runner.campaign_runner import open_runner, run_campaign
from faultbench.runner.engines.engine import Engine
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import RunOptions, RunSetup
from faultbench.system.progress.reporter import SilentReporter
from tests.runner.test_campaign_runner import campaign


def begun(trained: Path, root: Path, *overrides: str) -> Path:
    """Return a results folder with a manifest and trained networks, but no trial."""
    root.mkdir(exist_ok=True)
    with open_runner(campaign(root, *overrides), RunSetup(root, Serial(1), SilentReporter())):
        shutil.copytree(trained / "artifacts", root / "small" / "artifacts")
    return root


def finished(root: Path, *overrides: str, engine: Engine | None = None, options: RunOptions | None = None) -> Path:
    """Run the campaign to its end, or to the end that the options set. Return its results folder."""
    engine = Serial(1) if engine is None else engine
    return run_campaign(campaign(root, *overrides), root, engine=engine, reporter=SilentReporter(), options=options)
