"""Manifest of a merged results folder: the union of the manifests of its parts, in whatever order they come."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faultbench.campaign.keys import canonical_text
from faultbench.campaign.spec import AXES
from faultbench.results.content_digests import DIGESTS_KEY, digests_by_key, join_digests
from faultbench.system.errors import FaultbenchError

ANY_ORDER = ("warnings", "declared_accuracies")
"""Keys of a manifest that list findings; a merged manifest has the union of the lists."""

_PROVENANCE = ("command", "written", "execution", "environment")


def merge_manifests(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one manifest for all: the cells of each, the most trials, and the origins of the parts under `merged`."""
    first, *others = sorted(manifests, key=canonical_text)
    cells = {entry["cell"]: entry for manifest in (first, *others) for entry in manifest["cells"]}
    _check_labels(cells.values())
    trials = max(manifest["trials"] for manifest in manifests)
    origins = [origin for manifest in manifests for origin in (_listed(manifest, "merged") or [_provenance(manifest)])]
    merged = sorted({canonical_text(origin): origin for origin in origins}.items())
    return {
        **first,
        "trials": trials,
        "spec": _merged_spec((first, *others), trials),
        "cells": list(cells.values()),
        **_merged_data((first, *others)),
        **_memory((first, *others)),
        **_findings((first, *others)),
        **_asked_before((first, *others)),
        "merged": [origin for _, origin in merged],
    }


def _merged_spec(manifests: Sequence[Mapping[str, Any]], trials: int) -> dict[str, Any]:
    """Return the spec of the first manifest with the axes and BERs of all, and this number of trials."""
    spec = dict(manifests[0]["spec"])
    for key in (*AXES, "bers"):
        entries = [entry for manifest in manifests for entry in _listed(manifest["spec"], key)]
        spec[key] = list({canonical_text(entry): entry for entry in entries}.values())
    spec["trials"] = {**spec["trials"], "max": trials} if isinstance(spec.get("trials"), dict) else trials
    return spec


def _merged_data(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the digests of all parts; they agree if two parts have the same key."""
    data: dict[str, Any] = {}
    for manifest in manifests:
        for kind, values in mapping_in(manifest, "data").items():
            data[kind] = {**data.get(kind, {}), **values} if isinstance(values, dict) else values
    union = join_digests(map(digests_by_key, manifests))
    known = {kind: dict(sorted(digests.items())) for kind, digests in union.items() if digests}
    return ({"data": data} if data else {}) | ({DIGESTS_KEY: known} if known else {})


def _memory(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the memory of each subject; nothing if no manifest has it."""
    entries = {entry["subject"]: entry for manifest in manifests for entry in _listed(manifest, "memory")}
    return {"memory": [entry for _, entry in sorted(entries.items())]} if entries else {}


def _findings(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the findings of all parts on the networks, each once, in the order of their texts."""
    listed = {key: [entry for manifest in manifests for entry in _listed(manifest, key)] for key in ANY_ORDER}
    unique = {
        key: sorted({canonical_text(entry): entry for entry in entries}.items()) for key, entries in listed.items()
    }
    return {key: [entry for _, entry in entries] for key, entries in unique.items() if entries}


def _asked_before(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the numbers of trials that parts showed results with, in the order of time of each."""
    numbers = [*dict.fromkeys(n for manifest in manifests for n in _listed(manifest, "asked_before"))]
    return {"asked_before": numbers} if numbers else {}


def mapping_in(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the mapping at a key; an empty one if there is none."""
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _listed(holder: Mapping[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def _provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: manifest.get(key) for key in _PROVENANCE}


def _check_labels(cells: Iterable[Mapping[str, Any]]) -> None:
    """Raise FaultbenchError if two cells have the same labels and BER."""
    cell_of: dict[str, str] = {}
    for entry in cells:
        labels = canonical_text({key: value for key, value in entry.items() if key not in ("cell", "subject")})
        if cell_of.setdefault(labels, entry["cell"]) != entry["cell"]:
            raise FaultbenchError(
                f"{labels} means one thing in one folder and another in another: an option, the weights or a plug-in's "
                "source differ; give one of them a label of its own"
            )
