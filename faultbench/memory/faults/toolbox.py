"""Fault model of the ProAct authors' toolbox: a fixed number of flips per tensor, drawn with replacement."""

import math
from dataclasses import dataclass

import numpy as np

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import Targeted
from faultbench.plugins.registry import fault_model
from faultbench.system.random_streams import generator


@fault_model("toolbox")
@dataclass(frozen=True)
class Toolbox(Targeted):
    """Exactly floor(bits·BER) flips in every tensor, with replacement, as the ProAct authors' toolbox draws them.

    rrelu 0.1.0. A tensor of fewer than 1/BER bits is never hit. A bit drawn twice flips back: that reading is ours.
    """

    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        """Return the flips of a trial in a space."""
        hits = [np.empty(0, dtype=np.int64)]
        for item, offset in zip(space.stored, space.offsets.tolist(), strict=False):
            # A product such as 1e6·1e-6 may come out just below the whole number that it is.
            n_draws = math.floor(item.n_target_bits * ber * (1 + 1e-12))
            rng = generator(f"toolbox/{seed}/{trial}/{item.name}")
            hits.append(offset + item.addresses(rng.integers(item.n_target_bits, size=n_draws)))
        addresses, n_times = np.unique(np.concatenate(hits), return_counts=True)
        return FaultMap(addresses[n_times % 2 == 1])
