"""Normalisation of raw pixels as the first step of a traced network, outside its memory."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

TARGET = "faultbench_input"
"""The submodule's name; the names of the network's own layers and sites stay as they are."""


class Normalise(nn.Module):
    """Module that computes (pixel − mean) / std per channel, bit for bit as torchvision's Normalize.

    mean and std are constants of the program: buffers that are neither trained nor counted nor faulted.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised pixels [n, channels, height, width]."""
        return (x - self.mean) / self.std


def normalise_first(graph: fx.GraphModule, mean: Sequence[float], std: Sequence[float]) -> None:
    """Make every step that reads the images read normalised images instead, in place."""
    images = next(node for node in graph.graph.nodes if node.op == "placeholder")
    graph.add_submodule(TARGET, Normalise(mean, std))
    with graph.graph.inserting_after(images):
        normalised = graph.graph.call_module(TARGET, (images,))
    images.replace_all_uses_with(normalised, delete_user_cb=lambda user: user is not normalised)
    graph.recompile()
