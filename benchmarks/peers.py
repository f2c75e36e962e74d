"""A trial of faultbench against pure inference of its images, and against the same trial by other tools.

    python benchmarks/peers.py [--networks …] [--formats …] [--bers …] [--rounds N] [--images N] [--batch N]
        [--output DIR]

Everything runs in this process on one thread. In a round each row takes its turn: one inference of the images, some
trials of ours, one of each peer. A ratio is taken within its round; the table has the medians over the rounds. Times
are those of the processor, so that what else the machine does matters less; --clock wall takes the others.

faultbench  the draw of the fault map and `Evaluation.outcome`, staged and laid out as in a campaign, like the
            inference that it is compared with. A trial of few flips costs less than one of many, so a round's time is
            the mean over so many trials, fixed before the first round, as take about N_INFERENCES inferences. Between
            parts of them the inference is timed, and the round's is the median of that.
PyTorchFI   0.6.0, class fault_injection, made once; a trial is `declare_weight_fi`, which copies the model, with the
            same flips of our map in the weights (it reaches no biases), and an inference. Drawing the map, and working
            out the values that it leaves, is not counted: PyTorchFI has nothing for that and gets it for free.
MRFI        2.1.0, its weight presets at rate 32·BER; a trial is an inference, for which its hooks put each layer's
            weights back, draw and flip. In Q15.16 its FixPointQuantization with layerwise off, its quickest way.
dense       copy.deepcopy, a Bernoulli mask of every bit of every parameter, and an inference: what papers' scripts do.
            Its cost does not depend on the BER: it is measured once a round, network and format.
"""

import argparse
import copy
import importlib.util
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from bench import BERS, DOCS, FORMATS, SHAPE, machine, median_ratio, model, pixels, seconds, space, write_csv
from peers_plot import draw
from torch import Tensor, nn

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.injection import inject_faults
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging

NETWORKS = ("alexnet", "vgg16", "resnet20", "resnet50")
N_IMAGES = {"resnet50": 32}
"""Where not 256: with 256 images, resnet50 alone would take an hour."""

PEERS = {"pytorchfi": "pytorchfi", "mrfi": "mrfi", "dense": "torch"}
"""Peer → the package that it needs."""

BATCH = {"alexnet": 256}
"""Images a forward pass, where not 64: what `batch: auto` of a campaign gives. Peers get the same."""

MEMORY_BYTES = 1 << 30
"""What may be kept of the golden run; `faultbench run` takes 2 GiB a worker where the machine has room."""

N_INFERENCES = 16
MIN_TRIALS, MAX_TRIALS = 16, 192
"""Trials of ours a round: where the first fault falls, and so what a trial costs, differs much from trial to trial."""

N_PARTS = 4
"""Times that pure inference is timed in a round."""

CLOCKS = {"cpu": process_time, "wall": perf_counter}
"""Everything runs on one thread and reads no file: on a quiet machine the two agree, on a busy one the first holds."""


def logits_of(network: Callable[[Tensor], Tensor], batches: Sequence[Images]) -> list[Tensor]:
    """Of every batch."""
    with torch.inference_mode():
        return [network(part.pixels) for part in batches]


class Ours:
    """faultbench's trial."""

    def __init__(self, built: nn.Module, format_name: str, images: Images, batch: int) -> None:
        codec = registry.build("number_format", format_name, {})
        self.network = trace(copy.deepcopy(built).to(memory_format=torch.channels_last), SHAPE)
        memory = fault_space(self.network, codec, ("weights", "biases", "bounds"))
        sample = [Bernoulli().draw(memory, ber=ber, seed=1, trial=trial) for ber in BERS for trial in range(16)]
        staging = Staging(MEMORY_BYTES, sample)
        self.evaluation = Evaluation(self.network, memory, images, batch=batch, staging=staging)

    def trial(self, ber: float, number: int) -> int:
        """Draw and run; gives the number of flips."""
        fault_map = Bernoulli().draw(self.evaluation.space, ber=ber, seed=0, trial=number)
        self.evaluation.outcome(fault_map)
        return len(fault_map)


class Pytorchfi:
    """PyTorchFI, given the flips that our map has in the weights of convolutions and linear layers."""

    def __init__(self, built: nn.Module, format_name: str, batches: Sequence[Images]) -> None:
        from pytorchfi.core import fault_injection

        self.built, self.batches = built, batches
        kinds = [nn.Conv2d, nn.Linear]
        self.injector = fault_injection(built, len(batches[0]), input_shape=list(SHAPE), layer_types=kinds)
        weights = {id(layer.weight) for layer in built.modules() if isinstance(layer, tuple(kinds))}
        everything = space(built, format_name, suffix="weight").stored
        self.space = type(space(built, format_name))([item for item in everything if id(item.tensor) in weights])

    def places(self, ber: float, number: int) -> tuple[FaultMap, dict[str, list[Any]]]:
        """The trial's flips, and as PyTorchFI is told of them: layer, four indices and value of each word hit."""
        fault_map = Bernoulli().draw(self.space, ber=ber, seed=0, trial=number)
        found = self.space.locate(fault_map.addresses)
        hit = dict.fromkeys(zip(found.tensor.tolist(), found.word.tolist(), strict=True))
        with inject_faults(self.space, fault_map):
            values = [self.space.stored[layer].tensor.flatten()[word].item() for layer, word in hit]
        indices = [np.unravel_index(word, self.space.stored[layer].tensor.shape) for layer, word in hit]
        padded = [([int(n) for n in index] + [None, None])[:4] for index in indices]
        columns = [list(column) for column in zip(*padded, strict=True)] or [[], [], [], []]
        named = dict(zip(("k", "dim1", "dim2", "dim3"), columns, strict=True))
        return fault_map, {"layer_num": [layer for layer, _ in hit], **named, "value": values}

    def trial(self, told: dict[str, list[Any]]) -> list[Tensor]:
        """PyTorchFI's: a corrupted copy, and its inference."""
        return logits_of(self.injector.declare_weight_fi(**told), self.batches)

    def check(self, ber: float) -> None:
        """Its logits are those of our injection, bit for bit."""
        fault_map, told = self.places(ber, 0)
        theirs = self.trial(told)
        with inject_faults(self.space, fault_map):
            ours = logits_of(self.built, self.batches)
        for one, other in zip(ours, theirs, strict=True):
            if not torch.equal(one.view(torch.int32), other.view(torch.int32)):
                raise SystemExit(f"PyTorchFI disagrees with faultbench on {len(fault_map)} flips")


class Mrfi:
    """MRFI, drawing flips of its own at the same rate."""

    def __init__(self, built: nn.Module, format_name: str, batches: Sequence[Images]) -> None:
        from mrfi import MRFI, EasyConfig

        self.batches = batches
        config = EasyConfig.load_preset("fxp_weight_fi" if format_name == "q15.16" else "float_weight_fi")
        if format_name == "q15.16":
            fixed = {"method": "FixPointQuantization", "integer_bit": 15, "decimal_bit": 16, "layerwise": False}
            config.set_quantization(0, fixed)
            config.set_error_mode(0, {"method": "IntRandomBitFlip", "bit_width": 32})
        config.set_module_used(0, module_type=["Conv2d", "Linear"])
        self.injector = MRFI(copy.deepcopy(built), config)
        self.selectors = self.injector.get_weights_configs("selector")

    def trial(self, ber: float) -> list[Tensor]:
        """MRFI's: an inference, its hooks draw and flip."""
        self.selectors.args.rate = 32 * ber
        return [self.injector(part.pixels) for part in self.batches]


class Dense:
    """A deep copy and a mask of every bit."""

    def __init__(self, built: nn.Module, format_name: str, batches: Sequence[Images]) -> None:
        self.built, self.batches = built, batches
        self.codec = registry.build("number_format", format_name, {})

    @torch.inference_mode()
    def trial(self, ber: float) -> list[Tensor]:
        """The copy's inference."""
        corrupted = copy.deepcopy(self.built)
        for parameter in corrupted.parameters():
            mask = torch.zeros_like(parameter, dtype=torch.int32)
            for bit in range(32):
                mask |= (torch.rand_like(parameter) < ber).int() << bit
            parameter.copy_(self.codec.decode(self.codec.encode(parameter) ^ mask))
        return logits_of(corrupted, self.batches)


@dataclass(frozen=True)
class Row:
    """One line of the table; every time is a list with an entry a round."""

    ber: float
    n_trials: int
    times: defaultdict[str, list[float]]
    flips: list[int]

    def columns(self) -> dict[str, Any]:
        """Medians; a peer that did not run has none."""
        times = self.times
        ratios = {
            f"{name}_ratio": median_ratio(times[name], times["inference"]) for name in ("trial", *PEERS) if times[name]
        }
        speedups = {f"x_{name}": median_ratio(times[name], times["trial"]) for name in PEERS if times[name]}
        found = {
            "ber": f"{self.ber:g}",
            "trials": self.n_trials * len(times["trial"]),
            "flips_mean": mean(self.flips),
            "inference_s": median(times["inference"]),
            "inference_128_ratio": median_ratio(times["inference_128"], times["inference"]),
        }
        blank = {f"{name}_ratio": "" for name in PEERS} | {f"x_{name}": "" for name in PEERS}
        return {**found, "trial_ratio": ratios.pop("trial_ratio"), **blank, **ratios, **speedups}


class Bench:
    """One network in one format: everything that takes turns, built once."""

    def __init__(self, name: str, format_name: str, given: argparse.Namespace, peers: Sequence[str]) -> None:
        n_images, batch = given.images or N_IMAGES.get(name, 256), given.batch or BATCH.get(name, 64)
        self._seconds = partial(seconds, clock=CLOCKS[given.clock])
        self.n_images = n_images
        images = Images(pixels(n_images), torch.zeros(n_images, dtype=torch.int64))
        self.batches = images.batches(batch)
        self.batches_last = [
            Images(part.pixels.contiguous(memory_format=torch.channels_last), part.labels) for part in self.batches
        ]
        self.batches_of_128 = images.batches(128)
        self.built = model(name, format_name)
        self.plain = copy.deepcopy(self.built)
        self.ours = Ours(self.built, format_name, images, batch)
        kinds = {"pytorchfi": Pytorchfi, "mrfi": Mrfi, "dense": Dense}
        self.peers: dict[str, Any] = {key: kinds[key](self.plain, format_name, self.batches) for key in peers}
        if "pytorchfi" in peers:
            self.peers["pytorchfi"].check(1e-6)

    def rows(self, bers: Sequence[float], n_rounds: int) -> list[Row]:
        """Measured, with a pilot of each row that also warms everything up."""
        self._infer()  # a warm-up
        inference_s = self._seconds(self._infer)
        rows = [self._pilot(ber, inference_s) for ber in bers]
        for number in range(n_rounds):
            dense = [self._seconds(lambda: self.peers["dense"].trial(1e-6))] if "dense" in self.peers else []
            for row in rows:
                self._round(row, number)
                row.times["dense"] += dense
        return rows

    def _infer(self) -> list[Tensor]:
        return logits_of(self.ours.network, self.batches_last)

    def _pilot(self, ber: float, inference_s: float) -> Row:
        trial_s = mean(self._seconds(lambda n=n: self.ours.trial(ber, 1_000_000 + n)) for n in range(2))
        n_trials = int(np.clip(round(N_INFERENCES * inference_s / trial_s), MIN_TRIALS, MAX_TRIALS))
        return Row(ber, n_trials, defaultdict(list), [])

    def _round(self, row: Row, number: int) -> None:
        times = row.times
        inferences, trials = list[float](), list[float]()
        for numbers in np.array_split(range(number * row.n_trials, (number + 1) * row.n_trials), N_PARTS):
            inferences.append(self._seconds(self._infer))
            trials += [
                self._seconds(lambda n=n: row.flips.append(self.ours.trial(row.ber, n))) for n in numbers.tolist()
            ]
        times["inference"].append(median(inferences))
        times["trial"].append(mean(trials))
        if "pytorchfi" in self.peers:
            _, told = self.peers["pytorchfi"].places(row.ber, number)
            times["pytorchfi"].append(self._seconds(lambda: self.peers["pytorchfi"].trial(told)))
        if "mrfi" in self.peers:
            times["mrfi"].append(self._seconds(lambda: self.peers["mrfi"].trial(row.ber)))
        times["inference_128"].append(self._seconds(lambda: logits_of(self.plain, self.batches_of_128)))


def present(wanted: Sequence[str]) -> Iterator[str]:
    """The peers that are installed; of the others the reason why they are left out is printed."""
    for name in wanted:
        if importlib.util.find_spec(PEERS[name]) is None:
            print(f"{name} is left out: not installed; python -m pip install {name}")
        else:
            yield name


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--bers", nargs="+", type=float, default=BERS)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, help="default 256; 32 for resnet50")
    parser.add_argument(
        "--batch", type=int, help="images a forward pass, ours and the peers'; default: as campaigns do"
    )
    parser.add_argument("--clock", choices=list(CLOCKS), default="cpu")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for peers.csv, .png and .svg")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, write it and draw it."""
    given = arguments()
    logging.disable(logging.WARNING)  # PyTorchFI logs every flip
    torch.set_num_threads(1)
    torch.manual_seed(0)  # of MRFI's and the dense masks' flips
    note = f"{machine()}; {given.clock} time, median of {given.rounds} interleaved rounds"
    print(note)
    peers, rows = list(present(given.peers)), []
    print("network   format   BER     flips  infer. s  trial/inf. " + "".join(f"{name:>11}/ours" for name in peers))
    for name, format_name in product(given.networks, given.formats):
        bench = Bench(name, format_name, given, peers)
        for row in bench.rows(given.bers, given.rounds):
            columns = row.columns()
            rows.append({"network": name, "format": format_name, "images": bench.n_images, **columns})
            times = f"{columns['flips_mean']:>9.1f}{columns['inference_s']:>10.3f}{columns['trial_ratio']:>11.3f}"
            ratios = "".join(f"{columns[f'x_{peer}']:>16.2f}" for peer in peers)
            print(f"{name:<10}{format_name:<9}{columns['ber']:<6}{times}{ratios}", flush=True)
    write_csv(given.output / "peers.csv", rows, note)
    draw(rows, given.output, note)


if __name__ == "__main__":
    main()
