"""Torch's random streams, named by what they are for as those of `streams` are."""

from typing import Any

import torch

from faultbench.system.random_streams import seed_of


def torch_generator(*parts: Any) -> torch.Generator:
    """A torch stream on the CPU from the parts' text; the same parts give the same stream."""
    return torch.Generator().manual_seed(seed_of(*parts) % 2**63)  # torch takes 63 bits of a seed
