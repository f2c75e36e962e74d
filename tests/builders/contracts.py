"""Adapter that runs the contract tests for labs on faultbench's own plug-ins."""

from collections.abc import Mapping, Sequence

import pytest

from faultbench.testing.selection import Plugin, own_plugins


class OwnPlugins:
    """Base class to put before a contract's class. Every plug-in of faultbench is tested, without a list of them."""

    kind: str
    examples: Mapping[str, Sequence[str]]

    def declared_plugins(self, metafunc: pytest.Metafunc) -> list[Plugin]:  # noqa: ARG002 - part of the contract
        return own_plugins(self.kind, self.examples)
