"""Bounded activations that schemes put at the sites of a network, with their outputs for NaN and infinities.

Each keeps its bounds in one parameter that broadcasts over a batch: shape () for a layer, (C, 1, 1) or (N,) for
channels, (1, C) if a transformer has channels last, and the site's own shape for neurons. With finite bounds the
outputs are finite for any input, unless `nan_policy` is `propagate`. All expect the values of a ReLU;
`elementwise.BehindActivation` adapts them to activations that give negative values.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from faultbench.networks.network import Site

Granularity = Literal["layer", "channel", "neuron"]
NanPolicy = Literal["zero", "propagate"]
"""Outputs for NaN and infinities. zero: as each class states, finite with finite bounds. propagate: as the released
codes compute."""

Bounds = Mapping[str, Tensor]
"""Bounds of each site by its name, float32."""


class BoundedActivation(nn.Module):
    """ReLU with bounds; the subclass's `forward` defines the output above a bound."""

    def __init__(self, bounds: Tensor, *, nan_policy: NanPolicy = "zero") -> None:
        super().__init__()
        self.bounds = nn.Parameter(bounds.detach().clone(), requires_grad=False)
        self.propagates = nan_policy == "propagate"


class ClipToZero(BoundedActivation):
    """Activation that gives x if 0 ≤ x ≤ bound, else 0; NaN and infinities give 0; NaN gives NaN if it propagates."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for each element; x is not changed."""
        if self.propagates:
            return torch.relu(x).masked_fill(x > self.bounds, 0.0)  # NaN is not above the bound
        # Multiplying by a float mask takes a fifth of the time of masked_fill or where. It is exact once
        # nothing is infinite or NaN, for which 0 times it would be NaN.
        y = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0).relu_()
        within = torch.le(y.detach(), self.bounds.detach(), out=torch.empty_like(y))
        return y * within if y.requires_grad else y.mul_(within)


class Saturate(BoundedActivation):
    """Activation that limits x to 0..bound; NaN and −Inf give 0, +Inf the bound; NaN gives NaN if it propagates."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for each element; x is not changed."""
        y = torch.minimum(torch.relu(x), self.bounds)
        if self.propagates:
            return y
        return torch.nan_to_num_(y, nan=0.0, posinf=torch.inf)  # by default it would also cut +Inf


class Smooth(BoundedActivation):
    """Activation max(0, x·σ(k(bound − x))), differentiable in its bounds; NaN and both infinities give 0.

    FitAct and HyReLU share this form in the ProAct authors' released code. If it propagates, the formula is computed
    literally and gives NaN for NaN and for +Inf, which is Inf·σ(−Inf).
    """

    def __init__(self, bounds: Tensor, *, steepness: float, nan_policy: NanPolicy = "zero") -> None:
        super().__init__(bounds, nan_policy=nan_policy)
        self.steepness = steepness

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for each element; x is not changed."""
        y = torch.relu(x)
        gate = torch.sub(self.bounds, y).mul_(self.steepness).sigmoid_()
        if self.propagates:
            return y * gate
        if gate.requires_grad or y.requires_grad:
            return torch.nan_to_num(y * gate, nan=0.0)
        return torch.nan_to_num_(y.mul_(gate), nan=0.0)


def bounds_shape(site: Site, granularity: Granularity) -> tuple[int, ...]:
    """Return the shape of a site's bounds: () for a layer, one bound per channel, or one per neuron."""
    if granularity == "layer":
        return ()
    if granularity == "neuron":
        return site.shape
    return tuple(size if axis == site.channel_axis else 1 for axis, size in enumerate(site.shape))


def reduce_bounds(neuron_wise: Tensor, granularity: Granularity, channel_axis: int = 0) -> Tensor:
    """Return the largest neuron-wise bound of each layer or channel; neuron-wise bounds are returned as they are."""
    if granularity == "layer":
        return neuron_wise.amax()
    if granularity == "channel" and neuron_wise.dim() > 1:
        others = tuple(axis for axis in range(neuron_wise.dim()) if axis != channel_axis)
        return neuron_wise.amax(dim=others, keepdim=True)
    return neuron_wise
