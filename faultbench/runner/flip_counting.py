"""Counting which flips the trials of a campaign held: their fault maps are drawn again, no network is run.

A trial's flips are a pure function of its cell and number. Where a flip lies says the fault space; which way it went
says the word that memory held there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign import Cell, Subject
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.results.flip_counts import PARTS, FlipCounts, Outcomes, fails, load, save
from faultbench.results.image_samples import accuracy
from faultbench.results.journal.records import Golden, Trial
from faultbench.runner.subjects.builder import Bench
from faultbench.runner.subjects.components import Parts, parts
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Reporter
from faultbench.trials.strata.bit_kinds import KEYS, Memory

N_TOGETHER = 64
"""Trials whose flips are counted at once."""


class Work(NamedTuple):
    """The trials of one subject that are to be counted."""

    subject: Subject
    golden: Golden
    cells: Sequence[tuple[Cell, Sequence[Trial]]]


def attribute(works: Sequence[Work], bench: Bench, folder: Path, *, suffix: str, reporter: Reporter) -> None:
    """Count what is not counted yet, into a file a subject; an interruption keeps what is counted."""
    todo = [(work, known) for work in works if _is_missing(work, known := _known(work, folder))]
    if not todo:
        return
    n_trials = sum(len(trials) - _n_counted(cell, known) for work, known in todo for cell, trials in work.cells)
    with reporter.task("attribute failures", n_trials, unit="trials") as task:
        for work, known in todo:
            try:
                for counts in _missing(work, known, bench):
                    known[counts.cell] = counts.plus(known[counts.cell]) if counts.cell in known else counts
                    task.advance(len(counts.trials))
            finally:
                save(folder, f"{work.subject.key}{suffix}", known.values())


def _missing(work: Work, known: Mapping[str, FlipCounts], bench: Bench) -> Iterator[FlipCounts]:
    built, network = parts(work.subject), bench.protected(work.subject)
    space = built.fault_space(network)
    memory = Memory(network, space)
    for cell, trials in work.cells:
        counted = known[cell.key].trials if cell.key in known else frozenset()
        if new := [trial for trial in trials if trial.trial not in counted]:
            yield count(memory, _drawn(built, space, cell), new, golden=work.golden)


def count(memory: Memory, drawn: Callable[[Trial], FaultMap], trials: Sequence[Trial], *, golden: Golden) -> FlipCounts:
    """The counts of at least one trial of a cell, given their fault maps and their golden run."""
    totals = np.zeros((4, memory.n_keys), dtype=np.int64)
    failed = np.array([fails(trial, golden) for trial in trials])
    right = np.array([round(PARTS * accuracy(trial, golden)) for trial in trials], dtype=np.int64)
    for start in range(0, len(trials), N_TOGETHER):
        part = slice(start, start + N_TOGETHER)
        totals += _counted(memory, [drawn(trial) for trial in trials[part]], failed[part], right[part])
    keys = np.flatnonzero(totals[0])
    owner, bit_and_held = np.divmod(keys, KEYS)
    rows = np.column_stack([owner, *np.divmod(bit_and_held, 2), *totals[:, keys]])
    numbers = frozenset(trial.trial for trial in trials)
    return FlipCounts(trials[0].cell, numbers, int(failed.sum()), int(right.sum()), memory.owners, rows)


def _counted(
    memory: Memory, maps: Sequence[FaultMap], failed: NDArray[np.bool_], right: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Flips, trials, failed trials and their accuracies in `PARTS`, a row each, a column a key."""
    keys = memory.keys(np.concatenate([fault_map.addresses for fault_map in maps]))
    held = np.zeros((len(maps), memory.n_keys), dtype=np.bool_)
    trial = np.repeat(np.arange(len(maps)), [len(fault_map) for fault_map in maps])
    held[np.tile(trial, 2), keys] = True
    flips = np.bincount(keys, minlength=memory.n_keys)
    return np.stack([flips, held.sum(axis=0), held[failed].sum(axis=0), right @ held])


def _drawn(built: Parts, space: FaultSpace, cell: Cell) -> Callable[[Trial], FaultMap]:
    def drawn(trial: Trial) -> FaultMap:
        fault_map = built.fault.draw(space, ber=cell.ber, seed=cell.subject.seed, trial=trial.trial)
        if fault_map.digest != trial.flips_digest:
            raise FaultbenchError(
                f"cell {cell.key} trial {trial.trial}: {trial.n_flips} flips {trial.flips_digest} were recorded, and "
                f"{len(fault_map)} flips {fault_map.digest} are drawn now; another version drew them: use another -o"
            )
        return fault_map

    return drawn


def _known(work: Work, folder: Path) -> dict[str, FlipCounts]:
    golden = work.golden
    outcomes: Mapping[str, Outcomes] = {
        cell.key: {trial.trial: fails(trial, golden) for trial in trials} for cell, trials in work.cells
    }
    return load(folder, [work.subject.key], outcomes)


def _n_counted(cell: Cell, known: Mapping[str, FlipCounts]) -> int:
    return len(known[cell.key].trials) if cell.key in known else 0


def _is_missing(work: Work, known: Mapping[str, FlipCounts]) -> bool:
    return any(len(trials) > _n_counted(cell, known) for cell, trials in work.cells)
