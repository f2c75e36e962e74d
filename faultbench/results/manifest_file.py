"""The manifest of a results folder: what was asked for, and on what it was run."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from faultbench import __version__
from faultbench.campaign import Campaign, Cell
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced

PACKAGES = ("torch", "torchvision", "numpy")
"""Whose versions can change a result."""

_VECTOR_UNITS = frozenset({"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve"})


def check_same_campaign(folder: Path, campaign: Campaign) -> None:
    """FaultbenchError unless the folder is new, empty, of a run that was killed at once, or of this campaign.

    It may hold artifacts alone: networks and bounds made elsewhere, on a card say, that trials here start from.

    Axes and trial counts may have grown since; what every cell shares may not have changed.
    """
    path = folder / "manifest.json"
    if not path.exists():
        if folder.exists() and not all(map(_is_of_a_start, folder.iterdir())):
            raise FaultbenchError(f"{folder}: is not empty and holds no faultbench results; use another -o")
        return
    recorded = read_manifest(folder)
    identity, spec = recorded.get("identity"), recorded.get("spec")
    if not isinstance(identity, str) or not isinstance(spec, dict):
        raise FaultbenchError(f"{path}: no faultbench manifest: identity and spec missing; use another -o, or --fresh")
    if identity != campaign.identity:
        raise FaultbenchError(
            f"{folder}: holds results of another campaign of this name: {_difference(spec, campaign.spec)}; "
            "use another name or -o, or --fresh to put the old results aside"
        )


def _is_of_a_start(path: Path) -> bool:
    """Whether a run finds such an entry, or makes it, before it has written its manifest."""
    if path.name == "journal":
        return path.is_dir() and not any(file.stat().st_size for file in path.iterdir())
    return path.name == "artifacts" or path.name.startswith((".lock", ".manifest.json."))


def write_manifest(
    folder: Path,
    campaign: Campaign,
    *,
    command: Sequence[str],
    execution: Mapping[str, Any],
    data: Mapping[str, Any],
) -> None:
    """Write manifest.json; execution says how the trials ran, data names weights and images by SHA-256."""
    manifest = {
        "faultbench": __version__,
        "campaign": campaign.name,
        "source": str(campaign.source.absolute()),
        "identity": campaign.identity,
        "trials": campaign.trials,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "execution": dict(execution),
        "environment": environment(),
        "data": dict(data),
        "plugins": {module.name: list(module.sources) for module in campaign.plugins},
        "spec": campaign.spec,
        "cells": [_entry(cell) for cell in campaign.cells],
    }
    save_manifest(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a results folder, as it stands in the file."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FaultbenchError(f"{path}: no faultbench manifest: {error}; use another -o, or --fresh") from error
    if not isinstance(manifest, dict):
        raise FaultbenchError(f"{path}: no faultbench manifest: not a mapping; use another -o, or --fresh")
    return manifest


def recorded_device(folder: Path) -> str | None:
    """Where the trials of a results folder ran, `cpu` or `cuda`; None for a folder without a manifest."""
    if not (folder / "manifest.json").exists():
        return None
    execution = read_manifest(folder).get("execution")
    found = execution.get("device") if isinstance(execution, dict) else None
    return found if found in ("cpu", "cuda") else None


def save_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json, whole or not at all."""
    with replaced(folder / "manifest.json") as path:
        path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def environment() -> dict[str, str]:
    """Versions and machine that results may depend on."""
    versions = {package: metadata.version(package) for package in PACKAGES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "vector units": _vector_units(),
        **versions,
    }


def _processor() -> str:
    names = _cpuinfo("model name")
    return f"{names[0]} × {len(names)}" if names else platform.processor()


def _vector_units() -> str:
    """Those that choose between kernels of torch: machines whose processors bear one name can differ in them."""
    flags = " ".join([*_cpuinfo("flags"), *_cpuinfo("Features")]).split()
    return " ".join(sorted(_VECTOR_UNITS.intersection(flags))) or "unknown"


def _cpuinfo(field: str) -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(field)]


def _entry(cell: Cell) -> dict[str, Any]:
    subject = cell.subject
    return {
        "cell": cell.key,
        "subject": subject.key,
        "dataset": subject.dataset.label,
        "model": subject.model.label,
        "scheme": subject.scheme.label,
        "guard": subject.guard.label,
        "format": subject.format.label,
        "fault": subject.fault.label,
        "ber": cell.ber,
    }


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    keys = ("seed", "images", "sampling", "batch", "training")
    found = [f"{key} {there.get(key)} there, {here.get(key)} here" for key in keys if there.get(key) != here.get(key)]
    return "; ".join(found) or "it was made by another version of faultbench"
