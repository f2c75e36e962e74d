"""`faultbench doctor`: what this machine has of what faultbench needs, and what to type if something is missing."""

import importlib
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import click

import faultbench
from faultbench.cli.verb import Section, verb
from faultbench.plugins.registry import build, catalogue
from faultbench.system.errors import FaultbenchError

DISTRIBUTION = "faultbench-dnn"

State = Literal["ok", "missing", "broken"]
"""missing: faultbench runs without it; broken: it does not run."""


_MARKS: dict[State, str] = {"ok": "ok", "missing": "--", "broken": "BROKEN"}


@dataclass(frozen=True)
class MachineFinding:
    """State of one thing that faultbench uses, with a text that says how to mend it if needed."""

    state: State
    name: str
    text: str


@verb("doctor", Section.CHECK)
def command() -> int:
    """Show what this machine has of what faultbench needs.

    Lists the place of the package, versions, whether torch and torchvision match, devices, data sets and extras. Exit
    code 0: faultbench can run here, although something optional may be missing (--). Exit code 4: it cannot.
    """
    n_broken = 0
    for finding in machine_findings():
        n_broken += finding.state == "broken"
        click.echo(f"{_MARKS[finding.state]:<7}{finding.name:<14}{finding.text}")
    if n_broken:
        click.echo(f"faultbench: {n_broken} of these keep it from running; mend them first", err=True)
        return 4
    click.echo("next: faultbench validate CAMPAIGN, then faultbench run CAMPAIGN", err=True)
    return 0


def machine_findings() -> Iterator[MachineFinding]:
    """Yield all findings in the order to read them; imports torch."""
    yield MachineFinding("ok", "faultbench", f"{faultbench.__version__}, {Path(faultbench.__file__).parent}")
    yield MachineFinding("ok", "python", f"{platform.python_version()}, {platform.platform()}")
    torch = _torch()
    yield torch
    yield _torchvision()
    if torch.state == "ok":
        yield from _devices()
        yield from _datasets()
    yield from _extras()


def _torch() -> MachineFinding:
    try:
        importlib.import_module("torch")
    except (ImportError, OSError, RuntimeError) as error:
        return MachineFinding(
            "broken", "torch", f"cannot be imported: {_first_line(error)}; pip install --force-reinstall torch"
        )
    return MachineFinding("ok", "torch", metadata.version("torch"))


def _torchvision() -> MachineFinding:
    """Check that the compiled part of torchvision is built for this torch; only then are its operators registered."""
    wanted = required_torch(metadata.requires("torchvision") or [])
    installed = metadata.version("torch").partition("+")[0]
    if wanted is not None and wanted != installed:
        pair = f"pip install torch=={wanted}, or the torchvision that belongs to torch {installed}"
        return _broken_torchvision(f"{metadata.version('torchvision')} is made for torch {wanted}; {pair}")
    try:
        ops = importlib.import_module("torchvision.extension")
    except (ImportError, OSError, RuntimeError) as error:
        return _broken_torchvision(f"cannot be imported: {_first_line(error)}; pip install torchvision")
    if not ops._has_ops():
        return _broken_torchvision("its compiled part does not load; pip install --force-reinstall torchvision")
    return MachineFinding("ok", "torchvision", f"{metadata.version('torchvision')}, made for this torch")


def _broken_torchvision(text: str) -> MachineFinding:
    return MachineFinding("broken", "torchvision", text)


def required_torch(requirements: list[str]) -> str | None:
    """Return the one version of torch that the requirements of a package allow; None if they allow several."""
    pinned = (re.match(r"torch\s*\(?==\s*([\w.]+)", requirement) for requirement in requirements)
    return next((match[1] for match in pinned if match), None)


def _devices() -> Iterator[MachineFinding]:
    import torch

    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield MachineFinding("ok", "cpu", f"{n_cores} cores, {torch.backends.cpu.get_cpu_capability()}")
    if not torch.cuda.is_available():
        yield MachineFinding("missing", "cuda", "no device; everything runs on the processor")
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        yield MachineFinding("ok", f"cuda:{number}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB")


def _datasets() -> Iterator[MachineFinding]:
    for name in catalogue("dataset"):
        if "<" in name:
            continue  # a name with a parameter has no folder
        try:
            folder = getattr(build("dataset", name, {}), "folder", None)
        except FaultbenchError as error:
            yield MachineFinding("missing", name, str(error))
            continue
        if folder is None:
            yield MachineFinding("ok", name, "comes with the package")
        elif folder.is_dir():
            yield MachineFinding("ok", name, str(folder))
        else:
            advice = "downloaded by the first run, or unpack it there; another place: FAULTBENCH_DATA=FOLDER"
            yield MachineFinding("missing", name, f"not in {folder}; {advice}")


def _extras() -> Iterator[MachineFinding]:
    """Yield a finding for each extra of the installed package except `dev`."""
    for extra, package in extras(_requirements()).items():
        try:
            yield MachineFinding("ok", f"[{extra}]", f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield MachineFinding(
                "missing", f"[{extra}]", f"{package} not installed; pip install '{DISTRIBUTION}[{extra}]'"
            )


def extras(requirements: list[str]) -> dict[str, str]:
    """Return the package that each extra stands for, from the requirements in a distribution's metadata."""
    matches = (re.match(r"([\w.-]+).*extra\s*==\s*['\"]([\w-]+)['\"]", requirement) for requirement in requirements)
    return {match[2]: match[1] for match in matches if match and match[2] != "dev"}


def _requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise FaultbenchError(f"{DISTRIBUTION} is not installed; pip install --editable .") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
