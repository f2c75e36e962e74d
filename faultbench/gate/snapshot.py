"""Snapshot of a run in the form of a baseline, to write as one or to compare with one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faultbench.campaign import Campaign, Cell, digest
from faultbench.gate.baseline import Baseline, BaselineCell, CellName, pack_trials
from faultbench.results.folder import LABELS, CellEntry, ResultsFolder
from faultbench.system.errors import FaultbenchError

SETTINGS = ("seed", "images", "batch", "training")
"""Keys of a campaign that all cells share; if one of them differs, no trials pair."""

ENVIRONMENT = ("torch", "torchvision", "numpy", "processor", "vector units")
"""Keys of the manifest's environment that can change the last bits of a value."""


@dataclass(frozen=True)
class Snapshot:
    """Baseline of the cells that a run finished, and the reason for each unfinished cell."""

    finished: Baseline | None
    """None if no cell is finished."""
    unfinished: Mapping[CellName, str]


def snapshot(campaign: Campaign, folder: ResultsFolder) -> Snapshot:
    """Return the snapshot of a results folder; FaultbenchError if its manifest lacks the environment."""
    unfinished = {_cell_name(entry): reason for entry in folder.manifest.cells if (reason := _missing(folder, entry))}
    cells = {cell.key: cell for cell in campaign.cells}
    done = [entry for entry in folder.manifest.cells if _cell_name(entry) not in unfinished and entry.cell in cells]
    finished = tuple(_baseline_cell(cells[entry.cell], entry, folder) for entry in done)
    return Snapshot(_baseline(campaign, folder, finished) if finished else None, unfinished)


def refuse_sampled(campaign: Campaign) -> None:
    """Raise FaultbenchError for a campaign whose trials cannot be compared with a baseline fault by fault."""
    if any(subject.per_trial is not None for subject in campaign.subjects):
        raise FaultbenchError(
            f"{campaign.source}: images: a baseline holds trials over the same images; given "
            f'{campaign.spec["images"]}; give a number or "all"'
        )
    if any(subject.sampling != "plain" for subject in campaign.subjects):
        raise FaultbenchError(
            f"{campaign.source}: sampling: a baseline holds trials that meet the same flips; given "
            f"{campaign.spec['sampling']}; give plain"
        )


def definition(cell: Cell) -> str:
    """Return a key of what the campaign file says of a cell; unlike the cell's key it does not depend on weights."""
    return digest({**cell.subject.record, "weights": None, "ber": cell.ber})


def settings_of(campaign: Campaign) -> dict[str, Any]:
    """Return the settings that all cells of the campaign share, as its file has them."""
    return {key: campaign.spec[key] for key in SETTINGS}


def _baseline(campaign: Campaign, folder: ResultsFolder, cells: tuple[BaselineCell, ...]) -> Baseline:
    environment, images, weights = _origins(folder)
    return Baseline(
        faultbench_baseline=1,
        campaign=campaign.name,
        identity=campaign.identity,
        settings=settings_of(campaign),
        trials=campaign.spec["trials"],
        environment=environment,
        images=images,
        weights=weights,
        cells=cells,
    )


def _origins(folder: ResultsFolder) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return the environment of a run, and the digests of its images and weights."""
    more = folder.manifest.model_extra or {}
    try:
        environment = {name: more["environment"][name] or "unknown" for name in ENVIRONMENT}
        environment |= {"faultbench": more["faultbench"], "device": more["execution"]["device"]}
        return environment, more["data"]["test images"], more["data"]["stored weights"]
    except (KeyError, TypeError) as error:
        raise FaultbenchError(f"{folder.path}/manifest.json: lacks {error}; run the campaign again") from error


def _missing(folder: ResultsFolder, entry: CellEntry) -> str:
    """Return what a cell lacks, in words; empty if it is finished."""
    counts = {"missing": folder.n_missing(entry.cell), "quarantined": len(folder.quarantined[entry.cell])}
    lacking = " and ".join(f"{count:,} trials {what}" for what, count in counts.items() if count)
    return lacking or ("" if folder.golden(entry) else "no golden run recorded")


def _baseline_cell(cell: Cell, entry: CellEntry, folder: ResultsFolder) -> BaselineCell:
    golden = folder.journal.goldens[entry.subject]
    counts = {name: getattr(golden, name) for name in ("n_images", "n_correct", "n_bits", "top1_digest")}
    labels = {label: getattr(entry, label) for label in LABELS}
    trials = pack_trials(folder.trials[entry.cell])
    return BaselineCell(
        **{"cell": entry.cell, "definition": definition(cell), **labels, "ber": entry.ber, "golden": counts, **trials}
    )


def _cell_name(entry: CellEntry) -> CellName:
    return (*entry.labels, entry.ber)
