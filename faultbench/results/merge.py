"""Merge results folders of one campaign into one folder, which does not depend on their order."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from faultbench.campaign.keys import canonical_text
from faultbench.results.content_digests import digests_by_key, digests_by_label, require_equal
from faultbench.results.flip_counts import FOLDER
from faultbench.results.folder import Manifest, asked_trials, find_results, read_folder
from faultbench.results.journal.contents import JournalContents, read_journals
from faultbench.results.journal.lines import line
from faultbench.results.journal.records import Overhead, Quarantine, Record
from faultbench.results.manifest_file import read_manifest, save_manifest
from faultbench.results.merged_manifest import mapping_in, merge_manifests
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import disk_errors, replaced
from faultbench.system.files.locks import locked

JOURNAL = "merged.jsonl"


def merge(out: Path, sources: Sequence[Path]) -> None:
    """Add the contents of the results folders at sources to the results folder `out`, which is made if it is missing.

    FaultbenchError, with nothing written, if they are not of one campaign or contradict each other.
    """
    folders = [_checked_folder(source) for source in sources]
    if _has_results(out):
        folders.append(_checked_folder(out))
    manifests = {folder: read_manifest(folder) for folder in folders}
    _check_one_campaign(manifests)
    _check_content(manifests)
    lines = _journal_lines(manifests)
    merged = merge_manifests(list(manifests.values()))
    with locked(out):
        save_manifest(out, merged)
        with replaced(out / "journal" / JOURNAL) as path:
            path.write_bytes(b"".join(lines))
        _copy_files(folders, out)


def _journal_lines(manifests: Mapping[Path, Mapping[str, Any]]) -> list[bytes]:
    """Return the lines of the journal of all folders together, in an order that does not depend on theirs."""
    journals = [folder / "journal" for folder in manifests]
    asked = asked_trials(*(Manifest.model_validate(manifest) for manifest in manifests.values()))
    union = read_journals(journals, asked)
    return sorted(map(line, _records(union, [read_journals([journal], asked) for journal in journals])))


def _copy_files(folders: Sequence[Path], out: Path) -> None:
    for folder in folders:
        _copy_artifacts(folder / "artifacts", out / "artifacts")
        if folder != out:
            _copy_flip_counts(folder / FOLDER, out / FOLDER)


def _checked_folder(path: Path) -> Path:
    """Return the one results folder at path; FaultbenchError if there is none or its manifest is malformed."""
    return read_folder(path).path


def _has_results(out: Path) -> bool:
    """Return whether out is a results folder; FaultbenchError if it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if find_results(out) != [out]:
        raise FaultbenchError(f"{out}: holds results folders and is none itself; give one of them, or a new folder")
    return True


def _check_one_campaign(manifests: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise FaultbenchError unless all manifests are of one campaign and have the same stopping rule."""
    (first, wanted), *others = manifests.items()
    for folder, manifest in others:
        for key in ("campaign", "identity"):
            if manifest.get(key) != wanted.get(key):
                raise FaultbenchError(
                    f"{folder}: holds results of another campaign than {first}: {key} {manifest.get(key)!r}, not "
                    f"{wanted.get(key)!r}; only parts of one campaign can be merged"
                )
        if _stops_by(manifest) != _stops_by(wanted):
            raise FaultbenchError(
                f"{folder}: asks for trials in another way than {first}: {_stops_by(manifest)}, not "
                f"{_stops_by(wanted)}; intervals of one are not those of the other"
            )


def _stops_by(manifest: Mapping[str, Any]) -> str:
    """Return the stopping rule apart from the largest number of trials; intervals depend on it."""
    trials = mapping_in(mapping_in(manifest, "spec"), "trials")
    return canonical_text({key: trials[key] for key in trials.keys() - {"max"}}) if trials else "a fixed number"


def _check_content(manifests: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise FaultbenchError if two folders hold results of different images, weights or bounds under one name."""
    advice = (
        "their trials are of different networks; train and fit once, and give the other parts copies of its artifacts/"
    )
    checked: list[tuple[Path, Mapping[str, Any]]] = []
    for folder, manifest in manifests.items():
        for other, earlier in checked:
            for read in (digests_by_label, digests_by_key):
                require_equal(
                    f"{folder}: cannot be merged with {other}: made with", read(manifest), read(earlier), advice
                )
        checked.append((folder, manifest))


def _records(union: JournalContents, parts: Sequence[JournalContents]) -> Iterable[Record]:
    """Yield every record once; of several overheads or quarantines, one that does not depend on their order."""
    overheads: dict[str, list[Overhead]] = {}
    quarantined: dict[tuple[str, int], list[Quarantine]] = {}
    for part in parts:
        for subject, overhead in part.overheads.items():
            overheads.setdefault(subject, []).append(overhead)
        for name, quarantine in part.quarantined.items():
            quarantined.setdefault(name, []).append(quarantine)
    yield from (record.to_record() for record in (*union.goldens.values(), *union.trials.values()))
    yield from (record.to_record() for record in (*union.hazards.values(), *union.strata.values()))
    yield from (_first([overhead.to_record() for overhead in several]) for several in overheads.values())
    still = (several for name, several in quarantined.items() if name in union.quarantined)
    yield from (_first([quarantine.to_record() for quarantine in several]) for several in still)


def _first(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return min(records, key=canonical_text)


def _copy_flip_counts(source: Path, target: Path) -> None:
    """Copy files of flip counts into target, as <subject>.<digest of the file>.jsonl; readers add them up."""
    for path in sorted(source.glob("*.jsonl")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        subject, digest = path.name.partition(".")[0], blake2b(data, digest_size=8).hexdigest()
        with replaced(target / f"{subject}.{digest}.jsonl") as temporary:
            temporary.write_bytes(data)


def _copy_artifacts(source: Path, target: Path) -> None:
    """Copy the artifacts that the target lacks, without the partial ones that an interrupted fitting leaves."""
    for path in sorted(source.glob("*.safetensors")):
        if path.is_file() and not path.name.startswith("partial-") and not (target / path.name).exists():
            with replaced(target / path.name) as temporary, disk_errors(temporary):
                shutil.copyfile(path, temporary)
