"""Every activation scheme keeps the contract, with every choice of its options; fitting is cut short."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from faultbench import testing
from faultbench.schemes import fitact, ft_clipact, hyrelu_proact
from faultbench.testing.selection import Plugin
from tests.builders.contracts import OwnPlugins


@pytest.fixture(scope="module", autouse=True)
def cut_short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fitact.RECIPES, "fast", replace(fitact.RECIPES["fast"], n_epochs=2))
        patch.setitem(hyrelu_proact.RECIPES, "fast", replace(hyrelu_proact.RECIPES["fast"], n_epochs=(1, 2)))
        patch.setitem(ft_clipact.N_INJECTIONS, "fast", 1)
        yield


class TestSchemes(OwnPlugins, testing.TestSchemes):
    unfitted_options = ("nan_policy",)
    """It only changes what is deployed, and has tests of its own."""

    def test_every_option_is_taken(self, plugin: Plugin) -> None:
        for option in plugin.declaration.options:
            assert replace(plugin, options=((option, "other"),)).build() != replace(plugin, options=()).build()
