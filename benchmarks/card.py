"""What a CUDA card does with the networks, and what a trial costs there.

    python benchmarks/card.py [--device cuda] [--output DIR]

inference  images a second of a whole forward pass in float32 without TF32, by layout and images a pass.
training   images a second of a step of training with Nesterov SGD, by layout, precision and whether the optimiser
           steps all parameters in one kernel.
trials     milliseconds of drawing a fault map, of putting it in and out, of a staged trial and of a whole run.

Wall time, synchronised before and after; the mean of as many passes as take a quarter of a second, after two more.
Networks have the weights that training starts from, images are random: no time depends on either.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from bench import DOCS, SHAPE, model, pixels, write_csv
from torch import nn
from torch.nn import functional as F

from faultbench.datasets import Images
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.injection import inject_faults
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.system.devices import card_name, compute_exactly, in_tf32, synchronize
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging

BATCHES = {"alexnet": (64, 256, 1000, 2500), "vgg16": (64, 256, 512, 1000, 2500), "resnet20": (64, 256, 1000, 2500)}
BATCHES["resnet50"] = (64, 256, 1000)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
TRIALS = {"resnet20": (2048, 10_000), "vgg16": (512, 4096), "alexnet": (2048, 10_000)}
"""Network → images a forward pass, as `batch: auto` has it on a card, and images of a trial."""

BERS = (1e-7, 1e-6, 1e-5)
N_TRIALS = 12
BUDGET_S, MEMORY_BYTES = 0.25, 16 << 30


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Of one call, the mean of many."""
    for _ in range(2):
        work()
    synchronize(device)
    started, n_done = perf_counter(), 0
    while perf_counter() - started < BUDGET_S:
        work()
        synchronize(device)
        n_done += 1
    return (perf_counter() - started) / n_done


def placed(name: str, layout: str, device: torch.device) -> nn.Module:
    """A network there, its filters in this layout."""
    return model(name).to(device).to(memory_format=LAYOUTS[layout])


@torch.inference_mode()
def inference(device: torch.device) -> Iterator[dict[str, Any]]:
    """A row for every network, layout and number of images."""
    for name, layout in product(BATCHES, LAYOUTS):
        network = placed(name, layout, device)
        for batch in BATCHES[name]:
            images = pixels(batch).to(device).contiguous(memory_format=LAYOUTS[layout])
            rate = batch / seconds(lambda: network(images), device)  # noqa: B023 - called at once
            yield {"network": name, "layout": layout, "batch": batch, "images_per_s": rate}


def training(device: torch.device) -> Iterator[dict[str, Any]]:
    """A row for every network, layout, precision, kind of optimiser and number of images."""
    for name, layout, is_tf32, is_fused, batch in product(BATCHES, LAYOUTS, *[(False, True)] * 2, (128, 512)):
        network = placed(name, layout, device).train()
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, nesterov=True, fused=is_fused)
        images, labels = pixels(batch).to(device), torch.zeros(batch, dtype=torch.int64, device=device)

        def step() -> None:
            optimiser.zero_grad()  # noqa: B023 - called at once
            F.cross_entropy(network(images), labels).backward()  # noqa: B023
            optimiser.step()  # noqa: B023

        with in_tf32() if is_tf32 else nullcontext():
            rate = batch / seconds(step, device)
        precision = "tf32" if is_tf32 else "float32"
        row = {"network": name, "layout": layout, "precision": precision, "fused": is_fused, "batch": batch}
        yield {**row, "images_per_s": rate}


def trials(device: torch.device) -> Iterator[dict[str, Any]]:
    """A row for every network and BER, in Q15.16."""
    codec = registry.build("number_format", "q15.16", {})
    for name, (batch, n_images) in TRIALS.items():
        network = trace(copy.deepcopy(model(name)).to(memory_format=torch.channels_last), SHAPE).to(device.type)
        space = fault_space(network, codec, ("weights", "biases", "bounds"))
        images = Images((pixels(n_images) * 255).byte(), torch.zeros(n_images, dtype=torch.int64)).to(device.type)
        sample = [Bernoulli().draw(space, ber=ber, seed=1, trial=trial) for ber in BERS for trial in range(16)]
        staged = Evaluation(network, space, images, batch=batch, staging=Staging(MEMORY_BYTES, sample))
        whole = Evaluation(network, space, images, batch=batch)
        for ber in BERS:
            drawn = [Bernoulli().draw(space, ber=ber, seed=0, trial=trial) for trial in range(N_TRIALS)]
            maps = [fault_map for fault_map in drawn if len(fault_map)]

            def inject() -> None:
                for fault_map in maps:  # noqa: B023 - called at once
                    with inject_faults(space, fault_map):  # noqa: B023
                        pass

            outcomes = {run: [run.outcome(fault_map) for fault_map in maps] for run in (staged, whole)}
            if outcomes[staged] != outcomes[whole]:
                raise SystemExit(f"{name} at {ber:g}: staged trials differ from whole runs")
            draw = lambda: [Bernoulli().draw(space, ber=ber, seed=0, trial=n) for n in range(N_TRIALS)]  # noqa: E731, B023
            took = {
                "draw_ms": seconds(draw, device) / N_TRIALS,
                "inject_ms": seconds(inject, device) / len(maps),
                "trial_ms": seconds(lambda: [staged.outcome(m) for m in maps], device) / len(maps),  # noqa: B023
                "whole_ms": seconds(lambda: [whole.outcome(m) for m in maps], device) / len(maps),  # noqa: B023
            }
            shape = {"network": name, "batch": batch, "images": n_images, "ber": f"{ber:g}"}
            yield shape | {column: 1000 * value for column, value in took.items()}


def main() -> None:
    """Write a table of each."""
    parser = argparse.ArgumentParser(description="What a CUDA card does with the networks.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try the script")
    parser.add_argument("--output", type=Path, default=DOCS)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA card here; `faultbench doctor` says what it finds")
    compute_exactly(given.device)
    device = torch.device(given.device)
    note = f"{card_name() if given.device == 'cuda' else 'processor'}, torch {torch.__version__}"
    for measured in (inference, training, trials):
        write_csv(given.output / f"card_{measured.__name__}.csv", measured(device), note)


if __name__ == "__main__":
    main()
