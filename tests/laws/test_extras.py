"""Engines that are not installed, or asked for what they do not have, say what to do."""

import sys

import pytest

from faultbench.cli.verbs.run import chosen_engine
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_prints_the_command_that_installs_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # which makes its import fail
    with pytest.raises(FaultbenchError, match=rf"pip install 'faultbench-dnn\[{name}\]'") as refused:
        registry.build("engine", name, {}, n_workers=1)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["local", "serial"])
def test_an_engine_without_an_address_refuses_one(name: str) -> None:
    with pytest.raises(FaultbenchError, match=f"the engine {name} has no address; give --engine dask or ray"):
        chosen_engine(name, 1, "tcp://127.0.0.1:1")
