"""Selection of a stored trial: a cell by the start of its key or by labels and BER, and a number. Needs no torch."""

from collections.abc import Sequence

from faultbench.plugins.registry import suggest
from faultbench.results.folder import LABELS, CellEntry, ResultsFolder, ber_text, varying_labels
from faultbench.results.journal.records import Trial
from faultbench.system.errors import FaultbenchError

N_NAMED = 6
"""Most cells that an error lists."""


def find_cell(folder: ResultsFolder, given: str) -> CellEntry:
    """Return the only cell whose key begins with the text, or that has the labels and BER of `label/…@ber`.

    Any labels that identify the cell are enough: `relu@1e-6`, `resnet20/relu@1e-6`. FaultbenchError for none or
    several.
    """
    cells = folder.manifest.cells
    labelled, at, ber = given.rpartition("@")
    matches = [cell for cell in cells if _is_labelled(cell, labelled, ber)] if at else _of_key(cells, given)
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = "; ".join(f"{_full_name(cell)} ({cell.cell[:12]}…)" for cell in matches[:N_NAMED])
        raise FaultbenchError(f"{folder.path}: {given!r} is said of {len(matches)} cells: {names}{_more(matches)}")
    raise _no_cell(folder, given)


def _no_cell(folder: ResultsFolder, given: str) -> FaultbenchError:
    cells = folder.manifest.cells
    short = {f"{_name(cell, cells)}@{ber_text(cell.ber)}": None for cell in cells}
    known = dict.fromkeys(sorted(short)[:N_NAMED]) if len(short) > N_NAMED else short
    close = suggest(given, short).partition(" (known: ")[0]
    return FaultbenchError(
        f"{folder.path}: no cell {close}; give the start of a key or labels and a BER, such as {', '.join(known)}"
        f"{' …' if len(short) > N_NAMED else ''}"
    )


def find_trial(folder: ResultsFolder, cell: CellEntry, number: int) -> Trial:
    """Return the stored trial of a cell; FaultbenchError says which trials there are instead."""
    stored = {trial.trial: trial for trial in folder.recorded[cell.cell]}
    if number in stored:
        return stored[number]
    for record in folder.quarantined[cell.cell]:
        if record.trial == number:
            raise FaultbenchError(f"{folder.path}: trial {number} is quarantined, it has no row: {record.reason}")
    there = f"{len(stored):,} trials, {min(stored)} to {max(stored)}" if stored else "no trials yet"
    n_unfit = folder.journal.n_unfit
    left_out = f"; {n_unfit:,} of the folder's are left out, which their golden run does not allow" if n_unfit else ""
    raise FaultbenchError(f"{folder.path}: no trial {number} of {_full_name(cell)}; there are {there}{left_out}")


def _of_key(cells: Sequence[CellEntry], given: str) -> list[CellEntry]:
    return [cell for cell in cells if given and cell.cell.startswith(given)]


def _is_labelled(cell: CellEntry, labelled: str, ber: str) -> bool:
    try:
        is_rate = float(ber) == cell.ber
    except ValueError:
        return False
    # A label may hold a slash itself.
    return is_rate and (labelled in cell.labels or all(part in cell.labels for part in labelled.split("/")))


def _name(cell: CellEntry, cells: Sequence[CellEntry]) -> str:
    """Return those labels of a cell in which the cells of its folder differ."""
    return "/".join(getattr(cell, label) for label in varying_labels(cells) or ["scheme"])


def _full_name(cell: CellEntry) -> str:
    return f"{'/'.join(getattr(cell, label) for label in LABELS)}@{ber_text(cell.ber)}"


def _more(matches: Sequence[CellEntry]) -> str:
    return " …" if len(matches) > N_NAMED else ""
