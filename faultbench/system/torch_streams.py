"""Random streams of torch, each with a name, like the numpy streams of `random_streams`."""

from typing import Any

import torch

from faultbench.system.random_streams import seed_of


def torch_generator(*parts: Any) -> torch.Generator:
    """Return a torch stream on the CPU, seeded by the texts of the parts. The same parts give the same stream."""
    return torch.Generator().manual_seed(seed_of(*parts) % 2**63)  # torch takes 63 bits of a seed
