"""Every fault model keeps the contract; ours are nested in the BER, too, and all bits of a target are alike."""

import numpy as np
import pytest

from faultbench import testing
from faultbench.testing.fault_models import draw, memory
from faultbench.testing.selection import Plugin
from tests.builders.contracts import OwnPlugins


class TestFaultModels(OwnPlugins, testing.TestFaultModels):
    def test_another_seed_is_another_trial(self, plugin: Plugin) -> None:
        assert not np.array_equal(draw(plugin, memory()), draw(plugin, memory(), trial=1))
        assert not np.array_equal(draw(plugin, memory()), draw(plugin, memory(), seed=2))

    def test_every_target_bit_can_flip_and_none_more_often_than_another(self, plugin: Plugin) -> None:
        space = memory((20, 24))
        hit = np.concatenate([space.locate(draw(plugin, space, ber=0.1, trial=trial)).bit for trial in range(20)])
        counts = np.bincount(hit)[20:]
        assert len(counts) == 5
        # About 9,000 hits a bit, standard deviation below 95.
        assert counts.max() - counts.min() < 6 * 95

    def test_a_trial_of_a_higher_ber_holds_the_flips_of_a_lower_one(self, plugin: Plugin) -> None:
        low, high = draw(plugin, memory(), ber=1e-3), draw(plugin, memory(), ber=1e-2)
        n_missing = len(np.setdiff1d(low, high))
        # toolbox may draw a bit a second time, which takes it out.
        assert n_missing <= (2 if plugin.name == "toolbox" else 0)

    def test_names_decide_and_not_neighbours_where_streams_are_a_tensors_own(self, plugin: Plugin) -> None:
        if plugin.name == "exact":
            pytest.skip("draws over the whole memory")
        alone = draw(plugin, memory(sizes={"linear.weight": 700}))
        space = memory()
        last = alone + space.offsets[4]
        assert np.array_equal(last, [a for a in draw(plugin, space) if a >= space.offsets[4]])
