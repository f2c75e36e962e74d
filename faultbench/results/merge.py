"""Results folders of one campaign → one folder that holds the union of them, whatever the order."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from faultbench.campaign.keys import canonical
from faultbench.campaign.spec import AXES
from faultbench.results.flip_counts import FOLDER
from faultbench.results.folder import find_results, read_folder
from faultbench.results.journal.journal import JournalContents, line, read_journals
from faultbench.results.journal.records import Overhead, Quarantine, Record
from faultbench.results.manifest_file import read_manifest, save_manifest
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import disk_errors, replaced
from faultbench.system.files.locks import locked

JOURNAL = "merged.jsonl"

_PROVENANCE = ("command", "written", "execution", "environment")


def merge(out: Path, sources: Sequence[Path]) -> None:
    """Add to the results folder `out`, new or not, what the results folders at sources hold.

    FaultbenchError, with nothing written, when they are not of one campaign or contradict each other.
    """
    folders = [_folder(source) for source in sources]
    if _has_results(out):
        folders.append(_folder(out))
    manifests = {folder: read_manifest(folder) for folder in folders}
    _check_one_campaign(manifests)
    journals = [folder / "journal" for folder in folders]
    union = read_journals(journals)
    lines = sorted(map(line, _records(union, [read_journals([journal]) for journal in journals])))
    merged = _merged(list(manifests.values()))
    with locked(out):
        save_manifest(out, merged)
        with replaced(out / "journal" / JOURNAL) as path:
            path.write_bytes(b"".join(lines))
        for folder in folders:
            _copy_artifacts(folder / "artifacts", out / "artifacts")
            if folder != out:
                _copy_flip_counts(folder / FOLDER, out / FOLDER)


def _folder(path: Path) -> Path:
    return read_folder(path).path  # which checks that there is one, and that its manifest is sound


def _has_results(out: Path) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if find_results(out) != [out]:
        raise FaultbenchError(f"{out}: holds results folders and is none itself; give one of them, or a new folder")
    return True


def _check_one_campaign(manifests: Mapping[Path, Mapping[str, Any]]) -> None:
    (first, wanted), *others = manifests.items()
    for folder, manifest in others:
        for key in ("campaign", "identity"):
            if manifest.get(key) != wanted.get(key):
                raise FaultbenchError(
                    f"{folder}: holds results of another campaign than {first}: {key} {manifest.get(key)!r}, not "
                    f"{wanted.get(key)!r}; only parts of one campaign can be merged"
                )


def _records(union: JournalContents, parts: Sequence[JournalContents]) -> Iterable[Record]:
    """Every record once; of several measurements and quarantines one that does not depend on their order."""
    overheads: dict[str, list[Overhead]] = {}
    quarantined: dict[tuple[str, int], list[Quarantine]] = {}
    for part in parts:
        for subject, overhead in part.overheads.items():
            overheads.setdefault(subject, []).append(overhead)
        for name, quarantine in part.quarantined.items():
            quarantined.setdefault(name, []).append(quarantine)
    yield from (record.to_record() for record in (*union.goldens.values(), *union.trials.values()))
    yield from (record.to_record() for record in (*union.hazards.values(), *union.strata.values()))
    yield from (_first([one.to_record() for one in several]) for several in overheads.values())
    still = (several for name, several in quarantined.items() if name in union.quarantined)
    yield from (_first([one.to_record() for one in several]) for several in still)


def _first(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return min(records, key=canonical)


def _merged(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One manifest for all: the cells of each, the most trials, and who ran what under `merged`."""
    first, *others = sorted(manifests, key=canonical)
    cells = {entry["cell"]: entry for manifest in (first, *others) for entry in manifest["cells"]}
    _check_labels(cells.values())
    spec = dict(first["spec"])
    for key in (*AXES, "bers"):
        entries = [entry for manifest in (first, *others) for entry in _listed(manifest["spec"], key)]
        spec[key] = list({canonical(entry): entry for entry in entries}.values())
    spec["trials"] = trials = max(manifest["trials"] for manifest in manifests)
    origins = [origin for manifest in manifests for origin in (_listed(manifest, "merged") or [_provenance(manifest)])]
    merged = sorted({canonical(origin): origin for origin in origins}.items())
    return {
        **first,
        "trials": trials,
        "spec": spec,
        "cells": list(cells.values()),
        "merged": [origin for _, origin in merged],
    }


def _listed(holder: Mapping[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def _provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: manifest.get(key) for key in _PROVENANCE}


def _check_labels(cells: Iterable[Mapping[str, Any]]) -> None:
    met: dict[str, str] = {}
    for entry in cells:
        labels = canonical({key: value for key, value in entry.items() if key not in ("cell", "subject")})
        if met.setdefault(labels, entry["cell"]) != entry["cell"]:
            raise FaultbenchError(
                f"{labels} means one thing in one folder and another in another: an option, the weights or a plug-in's "
                "source differ; give one of them a label of its own"
            )


def _copy_flip_counts(source: Path, target: Path) -> None:
    """Beside those there are, as <subject>.<digest of the file>.jsonl: whoever reads them adds them up."""
    for path in sorted(source.glob("*.jsonl")):
        data = path.read_bytes()
        subject, digest = path.name.partition(".")[0], blake2b(data, digest_size=8).hexdigest()
        with replaced(target / f"{subject}.{digest}.jsonl") as temporary:
            temporary.write_bytes(data)


def _copy_artifacts(source: Path, target: Path) -> None:
    """Copy what the target lacks; what an interrupted fitting left is of use only where it was made."""
    for path in sorted(source.glob("*.safetensors")):
        if not path.name.startswith("partial-") and not (target / path.name).exists():
            with replaced(target / path.name) as temporary, disk_errors(temporary):
                shutil.copyfile(path, temporary)
