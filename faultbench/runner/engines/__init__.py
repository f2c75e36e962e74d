"""Engines run tasks in this process, in worker processes or on a cluster; one file per engine."""

from faultbench.runner.engines.engine import Died, Done, Engine, Event, Failed

__all__ = ["Died", "Done", "Engine", "Event", "Failed"]
