"""The file manifest.json of a results folder: write it, read it, and check that a campaign may go on in its folder."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faultbench import __version__
from faultbench.campaign import Campaign, Cell
from faultbench.campaign.input_files import data_folders
from faultbench.campaign.stopping_rule import AdaptiveTrials
from faultbench.results.environment import environment
from faultbench.results.manifest import read_manifest_file
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced
from faultbench.system.files.regular_files import UnsoundFileError, check_plain

FINDINGS = ("declared_accuracies", "warnings", "memory")
"""Keys of a manifest that list findings on the networks."""


def check_same_campaign(folder: Path, campaign: Campaign) -> None:
    """Raise FaultbenchError unless the folder is new, empty, of a run killed at its start, or of this campaign.

    It can hold artifacts alone: networks and bounds made elsewhere, for example on a GPU. Axes and numbers of trials
    may have grown since, but what all cells share must not have changed.
    """
    for data in data_folders(campaign):
        if folder.absolute().resolve().is_relative_to(data.resolve()):
            raise FaultbenchError(
                f"{folder}: is inside of {data}, which the campaign reads images from; use another -o"
            )
    if (folder / "manifest.json").exists():
        _check_identity(folder, campaign)
    elif folder.exists():
        _check_unused(folder)


def _check_unused(folder: Path) -> None:
    """Raise FaultbenchError if a folder without a manifest holds more than a run leaves that is killed at its start."""
    if not folder.is_dir():
        raise FaultbenchError(f"{folder}: is no folder; use another -o")
    if not all(map(_precedes_manifest, folder.iterdir())):
        raise FaultbenchError(f"{folder}: is not empty and holds no faultbench results; use another -o")


def _check_identity(folder: Path, campaign: Campaign) -> None:
    """Raise FaultbenchError unless a folder's manifest is of this campaign."""
    recorded, path = read_manifest(folder), folder / "manifest.json"
    identity, spec = recorded.get("identity"), recorded.get("spec")
    if not isinstance(identity, str) or not isinstance(spec, dict):
        raise FaultbenchError(f"{path}: no faultbench manifest: identity and spec missing; use another -o, or --fresh")
    if identity != campaign.identity:
        raise FaultbenchError(
            f"{folder}: holds results of another campaign of this name: {_difference(spec, campaign.spec)}; "
            "use another name or -o, or --fresh to put the old results aside"
        )


def _precedes_manifest(path: Path) -> bool:
    """Return whether an entry of a folder can be there before a run has written its manifest."""
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
    findings: Mapping[str, Any],
) -> None:
    """Write manifest.json.

    execution says how the trials run, data maps weights and images to SHA-256. findings are further keys: what a reader
    of the results must know of the networks (`FINDINGS`), the digests of `content_digests`, and `asked_before`.
    """
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
        **findings,
        "plugins": {module.name: list(module.sources) for module in campaign.plugins},
        "spec": campaign.spec,
        "cells": [_entry(cell) for cell in campaign.cells],
    }
    save_manifest(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a results folder as it stands in the file, after it is checked."""
    try:
        return read_manifest_file(folder / "manifest.json")[0]
    except FaultbenchError as error:
        raise FaultbenchError(f"{error}; use another -o, or --fresh") from error


def recorded_device(folder: Path) -> str | None:
    """Return the device that the trials of a results folder ran on, `cpu` or `cuda`; None without a manifest."""
    if not (folder / "manifest.json").exists():
        return None
    execution = read_manifest(folder).get("execution")
    device = execution.get("device") if isinstance(execution, dict) else None
    return device if device in ("cpu", "cuda") else None


def recorded_findings(folder: Path) -> dict[str, list[Any]]:
    """Return the findings of earlier runs, so that a run that ends early keeps them."""
    recorded = read_manifest(folder) if (folder / "manifest.json").exists() else {}
    findings = {key: recorded.get(key) for key in FINDINGS}
    return {key: list(value) if isinstance(value, list) else [] for key, value in findings.items()}


def numbers_asked_before(folder: Path) -> list[int]:
    """Return the different numbers of trials that runs of the folder asked for, in the order of time."""
    recorded = read_manifest(folder) if (folder / "manifest.json").exists() else {}
    numbers = [*recorded.get("asked_before", ())]
    if isinstance(trials := recorded.get("spec", {}).get("trials"), dict):
        # Outcomes decided how many trials there were, from the least number on.
        numbers.append(AdaptiveTrials.model_validate(trials).min)
    return [*dict.fromkeys([*numbers, *([recorded["trials"]] if "trials" in recorded else [])])]


def save_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json, whole or not at all; FaultbenchError for content that `read_manifest` would refuse."""
    try:
        check_plain(manifest)
    except UnsoundFileError as error:
        raise FaultbenchError(f"{folder / 'manifest.json'}: cannot be recorded: {error}") from error
    with replaced(folder / "manifest.json") as path:
        path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


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
    """Return how two specs differ in what all cells share, in words."""
    keys = ("seed", "images", "sampling", "batch", "training")
    differing = [key for key in keys if there.get(key) != here.get(key)]
    phrases = [f"{key} {there.get(key)} there, {here.get(key)} here" for key in differing]
    return "; ".join(phrases) or "it was made by another version of faultbench"
