"""Every engine keeps the contract; those that need an extra are marked with their name."""

import importlib.util

import pytest
from _pytest.mark.structures import ParameterSet

from faultbench import testing
from faultbench.testing.selection import Plugin
from tests.builders.contracts import OwnPlugins

NEEDED = {"dask": "distributed", "ray": "ray"}
"""Engine → the package of its extra; the engine's name is also the marker."""


class Engines(OwnPlugins):
    def parameter(self, plugin: Plugin) -> ParameterSet:
        marks = [getattr(pytest.mark, plugin.name)] if plugin.name in NEEDED else []
        return pytest.param(plugin, id=plugin.name, marks=marks)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def extra(cls, plugin: Plugin) -> None:
        if plugin.name in NEEDED and importlib.util.find_spec(NEEDED[plugin.name]) is None:
            pytest.skip(f"the extra [{plugin.name}] is not installed")


class TestEngines(Engines, testing.TestEngines):
    pass


@pytest.mark.crash
class TestEnginesThatLoseWorkers(Engines, testing.TestEnginesThatLoseWorkers):
    pass
