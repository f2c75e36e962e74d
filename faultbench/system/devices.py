"""Where networks run: the processor, or a CUDA card that computes as exactly as it can."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from joblib import cpu_count
from torch import nn

from faultbench.system.errors import FaultbenchError

Device = Literal["cpu", "cuda"]

LAYOUTS = {"cpu": "channels_last", "cuda": "contiguous"}
"""How activations and filters lie in memory, as it is faster. On a card without TF32 channels-last is slower for every
network measured, up to eleven times; with TF32 it is faster by a fifth (docs/benchmarks)."""


def chosen(wanted: str, recorded: str | None = None) -> Device:
    """The device that `auto`, `cpu` or `cuda` means here, for a results folder whose rows are from a recorded one.

    auto is the recorded one, else a card where there is one. FaultbenchError when there is no card, or when rows of
    two devices would meet in one folder: their last bits differ, and with them now and then a class.
    """
    found = wanted if wanted != "auto" else recorded or ("cuda" if torch.cuda.is_available() else "cpu")
    if recorded is not None and found != recorded:
        raise FaultbenchError(
            f"--device {found}: the results there are from {recorded}, and those of two devices do not mix; "
            f"give --device {recorded}, another -o, or --fresh"
        )
    if found == "cuda" and not torch.cuda.is_available():
        raise FaultbenchError(
            "--device cuda: torch finds no CUDA card here; `faultbench doctor` says what it finds; "
            "give --device cpu, with another -o or --fresh where results are from a card"
        )
    return "cuda" if found == "cuda" else "cpu"


def n_workers_on(device: str) -> int:
    """Worker processes where nobody says how many: one a core, or two on a card.

    A card gives its processes turns, so that more of them compute no faster (two trainings side by side on an H100 took
    3.0 s an epoch each, alone 1.1 and 1.5); the second prepares its trials meanwhile.
    """
    n_cores: int = cpu_count()
    return min(n_cores, 2) if device == "cuda" else n_cores


def nearest(recorded: str | None) -> Device:
    """Where results are looked at again: on the device that they are from, or the processor if there is no such one."""
    return "cuda" if recorded == "cuda" and torch.cuda.is_available() else "cpu"


def card() -> str:
    """What the card calls itself."""
    return torch.cuda.get_device_name()


def compute_exactly(device: str) -> None:
    """Have a card add up in float32, always in the same order: no TF32, no kernels chosen by timing."""
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def layout(device: torch.device) -> torch.memory_format:
    """How batches of images lie in a device's memory."""
    return torch.channels_last if LAYOUTS[device.type] == "channels_last" else torch.contiguous_format


def placed(module: nn.Module, device: torch.device | str, *, tf32: bool = False) -> nn.Module:
    """The module moved to a device, in place; on a card laid out as that computes fast, in TF32 if so told."""
    module.to(device)
    for parameter in module.parameters():
        if parameter.device.type == "cuda":
            is_last = tf32 and parameter.dim() == 4
            wanted = torch.channels_last if is_last else torch.contiguous_format
            parameter.data = parameter.data.contiguous(memory_format=wanted)
    return module


def fused(device: torch.device) -> bool | None:
    """What an optimiser of torch is told: a card steps all parameters in one kernel, the processor as torch has it."""
    return True if device.type == "cuda" else None


@contextmanager
def in_tf32() -> Iterator[None]:
    """Inside the block a card may multiply in TF32, with 10 bits of fraction for 23; after it as before."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def release(device: str) -> None:
    """Give back what this process holds of a card's memory and does not use."""
    if device == "cuda":
        torch.cuda.empty_cache()


def finish(device: torch.device) -> None:
    """Wait until a card has done all that it was told: before and after what is timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
