"""A finished run in the form of a baseline, to be kept or to be held against one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faultbench.campaign import Campaign, Cell, digest
from faultbench.gate.baseline import Baseline, KeptCell, Place, kept_trials
from faultbench.results.folder import LABELS, CellEntry, ResultsFolder
from faultbench.system.errors import FaultbenchError

SETTINGS = ("seed", "images", "batch", "training")
"""What all cells of a campaign have in common; with others no trial has a partner."""

ENVIRONMENT = ("torch", "torchvision", "numpy", "processor", "vector units")
"""What of the manifest's environment can change the last bits of a value."""


@dataclass(frozen=True)
class Snapshot:
    """A run as a baseline of the cells that it finished, and why it did not finish the others."""

    kept: Baseline | None
    """None where no cell is finished."""
    unfinished: Mapping[Place, str]


def snapshot(campaign: Campaign, folder: ResultsFolder) -> Snapshot:
    """What stands in the campaign's results folder; FaultbenchError where its manifest does not say on what it ran."""
    unfinished = {_place(entry): reason for entry in folder.manifest.cells if (reason := _lacks(folder, entry))}
    cells = {cell.key: cell for cell in campaign.cells}
    done = [entry for entry in folder.manifest.cells if _place(entry) not in unfinished and entry.cell in cells]
    kept = tuple(_kept(cells[entry.cell], entry, folder) for entry in done)
    return Snapshot(_baseline(campaign, folder, kept) if kept else None, unfinished)


def definition(cell: Cell) -> str:
    """A key of what the campaign file says of a cell; unlike the cell's own it does not change with weights."""
    return digest({**cell.subject.record, "weights": None, "ber": cell.ber})


def settings_of(campaign: Campaign) -> dict[str, Any]:
    """What all cells of the campaign have in common, as its file says it."""
    return {key: campaign.spec[key] for key in SETTINGS}


def _baseline(campaign: Campaign, folder: ResultsFolder, cells: tuple[KeptCell, ...]) -> Baseline:
    more = folder.manifest.model_extra or {}
    try:
        environment = {name: more["environment"][name] for name in ENVIRONMENT}
        environment |= {"faultbench": more["faultbench"], "device": more["execution"]["device"]}
        images, weights = more["data"]["test images"], more["data"]["stored weights"]
    except (KeyError, TypeError) as error:
        raise FaultbenchError(f"{folder.path}/manifest.json: lacks {error}; run the campaign again") from error
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


def _lacks(folder: ResultsFolder, entry: CellEntry) -> str:
    n_missing, n_given_up = folder.n_missing(entry.cell), len(folder.quarantined[entry.cell])
    found = {"missing": n_missing, "quarantined": n_given_up}
    return " and ".join(f"{count:,} trials {what}" for what, count in found.items() if count)


def _kept(cell: Cell, entry: CellEntry, folder: ResultsFolder) -> KeptCell:
    golden = folder.journal.goldens[entry.subject]
    counts = {name: getattr(golden, name) for name in ("n_images", "n_correct", "n_bits", "top1_digest")}
    labels = {label: getattr(entry, label) for label in LABELS}
    trials = kept_trials(folder.trials[entry.cell])
    return KeptCell(
        **{"cell": entry.cell, "definition": definition(cell), **labels, "ber": entry.ber, "golden": counts, **trials}
    )


def _place(entry: CellEntry) -> Place:
    return (*entry.labels, entry.ber)
