"""What fault injection costs: draw + inject + undo as a share of the inference of 256 images.

    python benchmarks/injection.py [--rounds N]

One thread. A round times one inference and one injection of every row, so that both see the same machine, and
the share is the median over rounds of their ratio. One image runs through the network before flips are put in
and again before they are taken out: the injection finds the caches as a trial would leave them.
"""

import argparse
from dataclasses import dataclass
from itertools import product
from statistics import median
from time import perf_counter

import torch
from bench import BERS, FORMATS, machine, model, pixels, seconds, space
from torch import Tensor, nn

from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.injection import inject_faults

NETWORKS = ("vgg16", "alexnet")
N_IMAGES = 256


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


def timed_injection(network: nn.Module, image: Tensor, memory: FaultSpace, *, ber: float, trial: int) -> Injection:
    """Draw, inject and undo one trial's flips, with cold caches before each end of it."""
    network(image)
    start = perf_counter()
    fault_map = Bernoulli().draw(memory, ber=ber, seed=0, trial=trial)
    drawn = perf_counter()
    with inject_faults(memory, fault_map):
        inside = perf_counter()
        network(image)
        leaving = perf_counter()
    return Injection(len(fault_map), drawn - start, inside - drawn, perf_counter() - leaving)


@torch.inference_mode()
def measure(name: str, n_rounds: int) -> list[float]:
    """Print one row a format and BER; the rows' shares in per cent."""
    images, network = pixels(N_IMAGES), model(name)  # float32 holds the values of Q15.16 too
    spaces = {format_name: space(network, format_name) for format_name in FORMATS}
    inferences: list[float] = []
    injections: dict[tuple[str, float], list[Injection]] = {row: [] for row in product(FORMATS, BERS)}
    for trial in range(-1, n_rounds):  # round -1 warms up
        inferences.append(seconds(lambda: network(images)))
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


def main() -> None:
    """Print the machine, a row for every network, format and BER, and the highest share."""
    parser = argparse.ArgumentParser(description="What fault injection costs against inference.")
    parser.add_argument("--rounds", type=int, default=9, help="rounds a network is measured for (default 9)")
    n_rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{machine()}; {N_IMAGES} images, median of {n_rounds} rounds")
    print("network  format   BER       flips    draw ms  inject ms    undo ms  infer. ms   share %")
    shares = []
    for name in NETWORKS:
        shares += measure(name, n_rounds)
    print(f"highest share: {max(shares):.3f} %")


if __name__ == "__main__":
    main()
