"""What fault injection costs: draw + inject + undo as a share of the inference of 256 images.

    python benchmarks/injection.py [--rounds N]

One thread. A round times one inference and one injection of every row, so that both see the same machine, and
the share is the median over rounds of their ratio. One image runs through the network before flips are put in
and again before they are taken out: the injection finds the caches as a trial would leave them.
"""

import argparse
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from faultbench.faults.bernoulli import Bernoulli
from faultbench.faults.injection import injected
from faultbench.faults.space import FaultSpace, StoredTensor
from faultbench.formats.codec import quantised
from faultbench.registry import build

FORMATS = ("q15.16", "float32")
BERS = (1e-8, 1e-7, 1e-6, 1e-5)
N_IMAGES = 256


def convolution(n_in: int, n_out: int, *, stride: int = 1, padding: int = 1) -> Iterator[nn.Module]:
    """A convolution with a kernel of 3 and its ReLU."""
    yield nn.Conv2d(n_in, n_out, 3, stride=stride, padding=padding)
    yield nn.ReLU()


def vgg16() -> nn.Sequential:
    """VGG-16, configuration D without batch norm, for CIFAR-10: 14.7 M parameters."""
    network, n_in = nn.Sequential(), 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            network.extend(convolution(n_in, width))
            n_in = width
        network.append(nn.MaxPool2d(2))
    return network.extend([nn.Flatten(), nn.Linear(512, 10)])


def alexnet() -> nn.Sequential:
    """AlexNet for CIFAR-10: 23.3 M parameters, most of them in two linear layers."""
    return nn.Sequential(
        *(*convolution(3, 64, stride=2), nn.MaxPool2d(2), *convolution(64, 192, padding=2), nn.MaxPool2d(2)),
        *(*convolution(192, 384), *convolution(384, 256), *convolution(256, 256), nn.MaxPool2d(2)),
        *(
            nn.Flatten(),
            nn.Linear(1024, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 10),
        ),
    )


@dataclass(frozen=True)
class Injection:
    """One injection as timed: n_flips bits, in so many seconds."""

    n_flips: int
    draw_s: float
    inject_s: float
    undo_s: float

    @property
    def total_s(self) -> float:
        """All that a trial pays for its faults."""
        return self.draw_s + self.inject_s + self.undo_s


def timed_injection(network: nn.Module, image: Tensor, space: FaultSpace, *, ber: float, trial: int) -> Injection:
    """Draw, inject and undo one trial's flips, with cold caches before each end of it."""
    network(image)
    start = perf_counter()
    fault_map = Bernoulli().draw(space, ber=ber, seed=0, trial=trial)
    drawn = perf_counter()
    with injected(space, fault_map):
        inside = perf_counter()
        network(image)
        leaving = perf_counter()
    return Injection(len(fault_map), drawn - start, inside - drawn, perf_counter() - leaving)


def timed_inference(network: nn.Module, images: Tensor) -> float:
    """Seconds of one inference of the batch."""
    start = perf_counter()
    network(images)
    return perf_counter() - start


def quantised_network(network: nn.Sequential) -> nn.Sequential:
    """The network in eval mode, every parameter a Q15.16 value: float32 holds those too."""
    codec = build("number_format", "q15.16", {})
    for parameter in network.parameters():
        parameter.data.copy_(quantised(codec, parameter))
    return network.eval()


@torch.inference_mode()
def measure(name: str, network: nn.Sequential, n_rounds: int) -> list[float]:
    """Print one row a format and BER; the rows' shares in per cent."""
    images = torch.rand(N_IMAGES, 3, 32, 32)
    named = list(network.named_parameters())
    spaces = {
        format_name: FaultSpace(
            [StoredTensor(key, tensor, build("number_format", format_name, {})) for key, tensor in named]
        )
        for format_name in FORMATS
    }
    inferences: list[float] = []
    injections: dict[tuple[str, float], list[Injection]] = {row: [] for row in product(FORMATS, BERS)}
    for trial in range(-1, n_rounds):  # round -1 warms up
        inferences.append(timed_inference(network, images))
        for (format_name, ber), timed in injections.items():
            timed.append(timed_injection(network, images[:1], spaces[format_name], ber=ber, trial=trial))
    shares = []
    for (format_name, ber), timed in injections.items():
        pairs = list(zip(timed[1:], inferences[1:], strict=True))
        shares.append(median(100 * injection.total_s / inference_s for injection, inference_s in pairs))
        columns = [
            *(median(getattr(injection, part) for injection, _ in pairs) for part in ("draw_s", "inject_s", "undo_s")),
            median(inference_s for _, inference_s in pairs),
        ]
        milliseconds = "".join(f"{1000 * seconds:>11.2f}" for seconds in columns)
        n_flips = median(injection.n_flips for injection, _ in pairs)
        print(
            f"{name:<9}{format_name:<9}{ber:<8.0e}{n_flips:>7.0f}{milliseconds}{shares[-1]:>10.3f}",
            flush=True,
        )
    return shares


def machine() -> str:
    """The processor and the versions that the figures hold for."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor()
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, one thread"


def main() -> None:
    """Print the machine, a row for every network, format and BER, and the highest share."""
    parser = argparse.ArgumentParser(description="What fault injection costs against inference.")
    parser.add_argument("--rounds", type=int, default=9, help="rounds a network is measured for (default 9)")
    n_rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{machine()}; {N_IMAGES} images, median of {n_rounds} rounds")
    print("network  format   BER       flips    draw ms  inject ms    undo ms  infer. ms   share %")
    shares = []
    for name, make in (("vgg16", vgg16), ("alexnet", alexnet)):
        shares += measure(name, quantised_network(make()), n_rounds)
    print(f"highest share: {max(shares):.3f} %")


if __name__ == "__main__":
    main()
