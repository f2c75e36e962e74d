"""Check that a scheme's activations change nothing in a network while values are far below their bounds."""

import math

import torch
from torch import Tensor

from faultbench.networks.agreement.rounding import distance, scale
from faultbench.networks.network import Network
from faultbench.schemes.scheme import Scheme, equal_bounds, granularities, protect_copy
from faultbench.system.errors import FaultbenchError

SLACK = 1e-4
"""Rounding that an activation may cause, as a share of the largest value at a site."""

FAR = 2.0**16
"""Bounds this many times as large as any value replace infinite ones, for which a formula may give NaN."""

LOGITS = "the logits"


@torch.inference_mode()
def require_neutral(network: Network, scheme: Scheme, images: Tensor, title: str) -> None:
    """Raise FaultbenchError if a scheme changes the values at a site although its bounds are out of reach.

    Bounds are infinite or, if that changes values, far above all of them. The network must be unprotected.
    """
    grains = granularities(network, scheme)
    if not grains:
        return
    expected = _values(network, images.to(network.device))
    if not all(bool(values.isfinite().all()) for values in expected.values()):
        return  # a scheme may change such values; fitting refuses them
    largest = max(scale(values) for values in expected.values())
    for bound in (math.inf, FAR * largest):
        protected = _values(
            protect_copy(network, scheme, equal_bounds(network, scheme, bound)), images.to(network.device)
        )
        apart = {name: distance(values, protected[name]) for name, values in expected.items()}
        changed = [name for name, values in expected.items() if apart[name] > SLACK * scale(values)]
        if not changed:
            return
    raise FaultbenchError(
        f"{title}: activation gives other values at {changed[0]} than the network without it, by up to "
        f"{apart[changed[0]]:.3g}, though its bounds are far above all values; where nothing is out of bounds it must "
        "equal ReLU"
    )


def _values(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Return the values of a network for the images at each of its sites, in order of execution, and its logits."""
    values: dict[str, Tensor] = {}
    handles = [
        network.graph.get_submodule(network.slot(site)).register_forward_hook(
            lambda _module, _args, output, name=f"site {site.name}": values.update({name: output.clone()})
        )
        for site in network.sites
    ]
    try:
        values[LOGITS] = network(images).clone()
    finally:
        for handle in handles:
            handle.remove()
    return values
