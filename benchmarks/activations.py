"""What bounded activations cost: latency of whole networks against ReLU, and time an element of each form.

python benchmarks/activations.py [--networks vgg16 resnet20] [--images 32]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from bench import SHAPE, machine, model, pixels
from torch import Tensor

from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.runner.subjects.overhead import latency
from faultbench.schemes.scheme import equal_bounds, protect_copy

FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "clip to zero, layer": ("clip_act", {}),
    "clip to zero, neuron": ("clip_act", {"granularity": "neuron"}),
    "saturate, layer": ("ranger", {}),
    "saturate, neuron": ("ranger", {"granularity": "neuron"}),
    "smooth, hybrid": ("hyrelu_proact", {}),
    "smooth, neuron": ("fitact", {}),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["vgg16", "resnet20"])
    parser.add_argument("--images", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}, {arguments.images} images")
    print("\nlatency against ReLU, median of interleaved rounds with its 95 % interval")
    for name in arguments.networks:
        _print_latencies(name, pixels(arguments.images))
    print("\ntime an element, 8×64×32×32 activations")
    _print_elements()


def _print_latencies(name: str, images: Tensor) -> None:
    network = trace(model(name), SHAPE)
    for form, (scheme_name, options) in FORMS.items():
        scheme = registry.build("scheme", scheme_name, options)
        measured = latency(protect_copy(network, scheme, equal_bounds(network, scheme, 2.0)), network, images)
        print(f"{name:10}{form:22}{measured.ratio:6.2f}  [{measured.ci_low:.2f}, {measured.ci_high:.2f}]")


def _print_elements() -> None:
    x = torch.randn(8, 64, 32, 32, generator=torch.Generator().manual_seed(0))
    activations: dict[str, Callable[[Tensor], Tensor]] = {"ReLU": torch.relu}
    for form, (scheme_name, options) in FORMS.items():
        shape = (64, 32, 32) if "neuron" in form else ()
        activations[form] = registry.build("scheme", scheme_name, options).activation(torch.full(shape, 2.0))
    activations["torch.where, layer"] = lambda x: torch.where((x >= 0) & (x <= 2.0), x, 0.0)
    for form, seconds in _interleaved(activations, x).items():
        print(f"{form:22}{1e9 * seconds / x.numel():6.2f} ns")


@torch.inference_mode()
def _interleaved(functions: dict[str, Callable[[Tensor], Tensor]], x: Tensor, n_rounds: int = 60) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(n_rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function(x)
            times[name].append(time.perf_counter() - started)
    return {name: float(np.median(measured)) for name, measured in times.items()}


if __name__ == "__main__":
    main()
