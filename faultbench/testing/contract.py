"""What all contract tests share: each test runs once for every plug-in, built as a run builds it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest
from _pytest.mark.structures import ParameterSet

from faultbench.system.errors import FaultbenchError
from faultbench.testing.selection import Plugin, lab_plugins


class Contract:
    """Tests of the plug-ins of one kind; a test that takes `plugin` runs for each."""

    kind: ClassVar[str]
    modules: ClassVar[Sequence[str]] = ()
    """Modules whose plug-ins are tested; without any, those of Python files beside the test file or above it."""
    examples: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Names to test for a plug-in whose name has placeholders."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test for every plug-in; an error of the plug-ins' sources ends the collection with one line."""
        if "plugin" not in metafunc.fixturenames:
            return
        try:
            plugins = self.select(metafunc)
        except FaultbenchError as error:
            raise pytest.Collector.CollectError(str(error)) from error
        metafunc.parametrize("plugin", [self.parameter(plugin) for plugin in plugins], scope="class")

    def parameter(self, plugin: Plugin) -> ParameterSet:
        """Return a plug-in as a parameter of tests; a subclass may mark it."""
        return pytest.param(plugin, id=str(plugin))

    def select(self, metafunc: pytest.Metafunc) -> list[Plugin]:
        """Return the plug-ins to test, each with the options to test it with."""
        return self.declared_plugins(metafunc)

    def declared_plugins(self, metafunc: pytest.Metafunc) -> list[Plugin]:
        """Return the plug-ins that the lab's modules declare, with their defaults."""
        test_file, root = metafunc.definition.path, metafunc.config.rootpath
        return lab_plugins(self.kind, test_file, root, self.modules, self.examples)
