"""What this machine has of what faultbench needs: versions, devices, data sets, extras; each with what to type."""

import importlib
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from faultbench import __version__
from faultbench.plugins.registry import build, catalogue
from faultbench.system.errors import FaultbenchError

DISTRIBUTION = "faultbench-dnn"

State = Literal["ok", "missing", "broken"]
"""missing: faultbench runs without it; broken: it does not."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was looked at, how it stands, and what to do about it."""

    state: State
    what: str
    said: str


def findings() -> Iterator[Finding]:
    """Everything, in the order to read it; imports torch."""
    yield Finding("ok", "faultbench", f"{__version__}, {Path(__file__).parent}")
    yield Finding("ok", "python", f"{platform.python_version()}, {platform.platform()}")
    torch = _torch()
    yield torch
    yield _torchvision()
    if torch.state == "ok":
        yield from _devices()
        yield from _datasets()
    yield from _extras()


def _torch() -> Finding:
    try:
        importlib.import_module("torch")
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(
            "broken", "torch", f"cannot be imported: {_first_line(error)}; pip install --force-reinstall torch"
        )
    return Finding("ok", "torch", metadata.version("torch"))


def _torchvision() -> Finding:
    """Its compiled part must be made for this torch: it then has the operators that it registers."""
    wanted = required_torch(metadata.requires("torchvision") or [])
    found = metadata.version("torch").partition("+")[0]
    if wanted is not None and wanted != found:
        pair = f"pip install torch=={wanted}, or the torchvision that belongs to torch {found}"
        return Finding("broken", "torchvision", f"{metadata.version('torchvision')} is made for torch {wanted}; {pair}")
    try:
        ops = importlib.import_module("torchvision.extension")
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("broken", "torchvision", f"cannot be imported: {_first_line(error)}; pip install torchvision")
    if not ops._has_ops():
        return Finding(
            "broken", "torchvision", "its compiled part does not load; pip install --force-reinstall torchvision"
        )
    return Finding("ok", "torchvision", f"{metadata.version('torchvision')}, made for this torch")


def required_torch(requirements: list[str]) -> str | None:
    """The one version of torch that these requirements of a package allow; None if they allow several."""
    pinned = (re.match(r"torch\s*\(?==\s*([\w.]+)", requirement) for requirement in requirements)
    return next((found[1] for found in pinned if found), None)


def _devices() -> Iterator[Finding]:
    import torch

    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("ok", "cpu", f"{n_cores} cores, {torch.backends.cpu.get_cpu_capability()}")
    if not torch.cuda.is_available():
        yield Finding("missing", "cuda", "no device; everything runs on the processor")
    for number in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(number)
        yield Finding("ok", f"cuda:{number}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB")


def _datasets() -> Iterator[Finding]:
    for name in catalogue("dataset"):
        if "<" in name:
            continue  # it has no place of its own
        folder = getattr(build("dataset", name, {}), "folder", None)
        if folder is None:
            yield Finding("ok", name, "comes with the package")
        elif folder.is_dir():
            yield Finding("ok", name, str(folder))
        else:
            advice = "downloaded by the first run, or unpack it there; another place: FAULTBENCH_DATA=FOLDER"
            yield Finding("missing", name, f"not in {folder}; {advice}")


def _extras() -> Iterator[Finding]:
    """The extras of the installed package but `dev`, by what they require."""
    for extra, package in extras(_requirements()).items():
        try:
            yield Finding("ok", f"[{extra}]", f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield Finding("missing", f"[{extra}]", f"{package} not installed; pip install '{DISTRIBUTION}[{extra}]'")


def extras(requirements: list[str]) -> dict[str, str]:
    """Extra → the package that it stands for, given the requirements of a distribution's metadata."""
    found = (re.match(r"([\w.-]+).*extra\s*==\s*['\"]([\w-]+)['\"]", requirement) for requirement in requirements)
    return {match[2]: match[1] for match in found if match and match[2] != "dev"}


def _requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise FaultbenchError(f"{DISTRIBUTION} is not installed; pip install --editable .") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
