"""Devices that networks run on: the CPU, or a CUDA card that computes in float32 and in a fixed order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from joblib import cpu_count
from torch import nn

from faultbench.system.errors import FaultbenchError

Device = Literal["cpu", "cuda"]

LAYOUTS = {"cpu": "channels_last", "cuda": "contiguous"}
"""Memory layout of activations and filters on each device, whichever is faster there.

On a card without TF32, channels-last is slower for every network measured, by up to 11 times. With TF32 it is faster
by a fifth (docs/benchmarks).
"""


def resolve_device(wanted: str, recorded: str | None = None) -> Device:
    """Return the device that `auto`, `cpu` or `cuda` means here. recorded is the device of the folder's results.

    auto is the recorded device, or else a card if there is one. FaultbenchError if there is no card, or if results of
    two devices would share a folder: their last bits differ, and therefore sometimes a predicted class.
    """
    device = wanted if wanted != "auto" else recorded or ("cuda" if torch.cuda.is_available() else "cpu")
    if recorded is not None and device != recorded:
        raise FaultbenchError(
            f"--device {device}: the results there are from {recorded}, and results of two devices cannot share a "
            f"folder; give --device {recorded}, another -o, or --fresh"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise FaultbenchError(
            "--device cuda: torch finds no CUDA card here; `faultbench doctor` says what it finds; "
            "give --device cpu, with another -o or --fresh where results are from a card"
        )
    return "cuda" if device == "cuda" else "cpu"


def n_workers_on(device: str) -> int:
    """Return the default number of worker processes: one per core, or two on a card.

    A card serves its processes in turns, so more of them compute no faster: two trainings at once on an H100 took 3.0 s
    per epoch each, and alone 1.1 and 1.5 s. The second process prepares its trials while the first one computes.
    """
    n_cores: int = cpu_count()
    return min(n_cores, 2) if device == "cuda" else n_cores


def available_device(recorded: str | None) -> Device:
    """Return the device to repeat recorded results on: the recorded device, or the CPU if there is no card."""
    return "cuda" if recorded == "cuda" and torch.cuda.is_available() else "cpu"


def card_name() -> str:
    """Return the name of the CUDA card."""
    return torch.cuda.get_device_name()


def compute_exactly(device: str) -> None:
    """Make a card compute in float32 and add in a fixed order: no TF32, and no kernels chosen by timing."""
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def layout(device: torch.device) -> torch.memory_format:
    """Return the memory layout of image batches on a device."""
    return torch.channels_last if LAYOUTS[device.type] == "channels_last" else torch.contiguous_format


def to_device(module: nn.Module, device: torch.device | str, *, tf32: bool = False) -> nn.Module:
    """Move a module to a device in place, and return it. On a card, use the memory layout that is fastest there.

    tf32 says that the card will multiply in TF32, for which another layout is fastest.
    """
    module.to(device)
    for parameter in module.parameters():
        if parameter.device.type == "cuda":
            is_last = tf32 and parameter.dim() == 4
            wanted = torch.channels_last if is_last else torch.contiguous_format
            parameter.data = parameter.data.contiguous(memory_format=wanted)
    return module


def fused_kernels(device: torch.device) -> bool | None:
    """Return the argument `fused` of torch's optimisers: True on a card, and torch's default, None, on the CPU."""
    return True if device.type == "cuda" else None


@contextmanager
def in_tf32() -> Iterator[None]:
    """Let a card multiply in TF32 inside the block, that is, with a fraction of 10 bits instead of 23."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def free_cache(device: str) -> None:
    """Release memory of a card that this process holds but does not use."""
    if device == "cuda":
        torch.cuda.empty_cache()


def synchronize(device: torch.device) -> None:
    """Wait until a card has finished its work. Call it before and after the code that is timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
