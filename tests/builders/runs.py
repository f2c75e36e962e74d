"""Runs of a small campaign that begin with networks which another run has trained."""

import shutil
from pathlib import Path

from test_campaign_runner import campaign

from faultbench.runner.campaign_runner import opened, run
from faultbench.runner.engines.engine import Engine
from faultbench.runner.engines.serial import Serial
from faultbench.runner.run_options import Terms
from faultbench.system.progress.reporter import Silent


def begun(trained: Path, root: Path, *overrides: str) -> Path:
    """A results folder with its manifest and the networks that were trained, but no trial yet."""
    root.mkdir(exist_ok=True)
    with opened(campaign(root, *overrides), root / "small", Serial(1), Silent(), ()):
        shutil.copytree(trained / "artifacts", root / "small" / "artifacts")
    return root


def finished(root: Path, *overrides: str, engine: Engine | None = None, terms: Terms | None = None) -> Path:
    """The campaign run to its end, or to that of its terms; its results folder."""
    engine = Serial(1) if engine is None else engine
    return run(campaign(root, *overrides), root, engine=engine, reporter=Silent(), terms=terms)
