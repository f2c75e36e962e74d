"""A classifier as a graph in which the module at every activation site can be replaced.

A *site* is one call of an activation, found with torch.fx: a module called twice is two sites, and a call of a function
is one as well (torchvision's ResNet-18 calls 9 ReLU modules at 17 sites). A ReLU is replaced by what a scheme puts
there. Any other activation stays, and its site stands behind it: a ReLU6 keeps its cap, so that bounds see values of 0
to 6, and a GELU its negative values (`elementwise.BehindActivation`). Activations whose own range is bounded, as
Sigmoid, are no sites.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from faultbench.networks.flop_count import FlopCount
from faultbench.networks.memory_layout import bounds_laid_out
from faultbench.networks.stored.reparametrised_weights import own_copy
from faultbench.networks.stored.stored_tensors import StoredParameter, stored_parameters
from faultbench.networks.tracing.elementwise import BehindActivation
from faultbench.system.devices import to_device


@dataclass(frozen=True)
class Site:
    """One call of an activation.

    shape is that of the output for one image, without the batch: (C, H, W), (N,), or in a transformer (tokens, C) and
    (H, W, C). feeding names the layers (convolutions, linear ones, attention) whose outputs reach the site without
    passing through another site. floor is the lowest value that the activation gives: 0 for a ReLU, −inf if there
    is none. channel_axis is the axis of the shape that holds channels. row_major says whether values lie row-major in a
    processor's memory, and not channels-last.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    feeding: tuple[str, ...]
    floor: float = 0.0
    channel_axis: int = 0
    row_major: bool = False


class Network:
    """Traced classifier in eval mode; each of its sites holds a module of its own that can be replaced.

    At first the sites hold what changes nothing: a plain, out-of-place ReLU in place of a ReLU, and nn.Identity behind
    an activation that stays.
    """

    def __init__(self, graph: fx.GraphModule, sites: tuple[Site, ...], computed: tuple[str, ...] = ()) -> None:
        self.graph = graph
        self.sites = sites
        self.computed = computed
        """The names of weights that the user's network computes before each use; here they are plain parameters."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits [n, classes] of images [n, channels, height, width]."""
        return self.graph(images)  # type: ignore[no-any-return]  # GraphModule calls are untyped

    def at(self, site: Site) -> nn.Module:
        """Return the module that stands at a site."""
        module = self.graph.get_submodule(target_of(site.index))
        return module.inner if isinstance(module, BehindActivation) else module

    def slot(self, site: Site) -> str:
        """Return the name of the submodule that the graph calls at a site."""
        return target_of(site.index)

    def install(self, site: Site, activation: nn.Module) -> None:
        """Put a module at a site in place of what stands there."""
        target = target_of(site.index)
        for parameter in activation.parameters():
            parameter.data = bounds_laid_out(parameter.data, row_major=site.row_major)
        is_behind = isinstance(self.graph.get_submodule(target), BehindActivation)
        self.graph.set_submodule(f"{target}.inner" if is_behind else target, to_device(activation.eval(), self.device))

    @property
    def device(self) -> torch.device:
        """The device that holds the parameters."""
        return next(chain(self.graph.parameters(), self.graph.buffers())).device

    def to(self, device: str) -> "Network":
        """Move the parameters to a device in place, in the memory layout that is fast there, and return the network."""
        to_device(self.graph, device)
        return self

    def on(self, device: str) -> "Network":
        """Return this network if it is on the device, and else a copy that is."""
        return self if self.device.type == device else self.copy().to(device)

    def copy(self) -> "Network":
        """Return an independent network with equal parameters."""
        return Network(own_copy(self.graph), self.sites, self.computed)

    def macs(self, shape: tuple[int, int, int]) -> int:
        """Return the multiply-accumulates for one image of this shape, in convolutions and matrix products.

        This is half of torch's flops. Element-wise operations, such as activations, are not counted.
        """
        trainable = [parameter for parameter in self.graph.parameters() if parameter.requires_grad]
        count, fast = FlopCount(), torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one fused operation, which the counter takes for free
        try:
            # The counter fails on a module that is given a trainable parameter, as a fake quantiser of weights is.
            self.graph.requires_grad_(False)
            # Fused kernels of attention are not counted by every version of torch; matrix products are.
            with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), count:
                self(torch.zeros(1, *shape, device=self.device))
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for parameter in trainable:
                parameter.requires_grad_(True)
        return count.n_flops // 2

    def parameters(self) -> Iterator[StoredParameter]:
        """Yield what lies in memory, in order of execution, nothing twice."""
        return stored_parameters(self.graph, {target_of(site.index): site.name for site in self.sites})


def target_of(index: int) -> str:
    """Return the submodule that a graph calls at the site of this index."""
    return f"faultbench_sites.{index}"
