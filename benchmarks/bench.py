"""What the benchmarks share: the machine's description, networks whose logits are finite, times, tables."""

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.codec import quantised
from faultbench.networks.training import initialise
from faultbench.plugins import registry
from faultbench.results.environment import environment

FORMATS = ("q15.16", "float32")
BERS = (1e-8, 1e-7, 1e-6, 1e-5)
SHAPE = (3, 32, 32)
N_CLASSES = 10
DOCS = Path(__file__).parent.parent / "docs" / "benchmarks"


def machine() -> str:
    """The processor and the versions that figures hold for."""
    found = environment()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{found['processor']}, {capability}, torch {found['torch']}, one thread"


def model(name: str, format_name: str = "q15.16") -> nn.Module:
    """A network of the registry for CIFAR-10 in eval mode, its parameters as memory of this format holds them.

    Its weights are those that training starts from (He initialisation, seed 0). They classify nothing, but logits are
    finite and no time depends on it: a trial computes the same sums with any weights.
    """
    built: nn.Module = registry.build("model", name, {}, shape=SHAPE, n_classes=N_CLASSES)
    initialise(built, torch.Generator().manual_seed(0))
    codec = registry.build("number_format", format_name, {})
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(quantised(codec, parameter))
    return built.eval()


def space(built: nn.Module, format_name: str, *, suffix: str = "") -> FaultSpace:
    """The memory of a network's parameters, or of those whose name ends so."""
    codec = registry.build("number_format", format_name, {})
    return FaultSpace([StoredTensor(name, p, codec) for name, p in built.named_parameters() if name.endswith(suffix)])


def pixels(n_images: int) -> Tensor:
    """Random images, the same ones each time."""
    return torch.rand(n_images, *SHAPE, generator=torch.Generator().manual_seed(0))


def seconds(work: Callable[[], Any], clock: Callable[[], float] = perf_counter) -> float:
    """Of one call."""
    started = clock()
    work()
    return clock() - started


def median_ratio(times: Iterable[float], references: Iterable[float]) -> float:
    """Median over rounds of a time to its reference's in the same round."""
    return median(time / reference for time, reference in zip(times, references, strict=True))


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], note: str) -> None:
    """Rows under a first line of comment; numbers with four digits."""
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {note}\n")
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        for row in listed:
            writer.writerow({key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()})
    print(f"wrote {path}")
