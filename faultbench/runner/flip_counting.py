"""Count the flips that the trials of a campaign held: fault maps are drawn again, and no network is run.

A trial's flips are a pure function of its cell and number. The fault space says where a flip lies, and the stored word
says which way it went.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultbench.campaign import Cell, Subject
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.results.flip_counts import ACCURACY_UNIT, FlipCounts, Outcomes, has_failed, load_counts, save_counts
from faultbench.results.image_samples import trial_accuracy
from faultbench.results.journal.records import Golden, Trial
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import Components, build_components
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Reporter
from faultbench.trials.strata.bit_kinds import KEYS_PER_OWNER, BitKinds

N_TOGETHER = 64
"""Number of trials whose flips are counted at once."""


class CountingWork(NamedTuple):
    """Trials of one subject whose flips are to be counted."""

    subject: Subject
    golden: Golden
    cells: Sequence[tuple[Cell, Sequence[Trial]]]


def count_missing_flips(
    works: Sequence[CountingWork], builder: SubjectBuilder, folder: Path, *, suffix: str, reporter: Reporter
) -> None:
    """Count what is not counted yet, and write a file per subject; an interruption keeps what is counted."""
    todo = [(work, known) for work in works if _is_missing(work, known := _known(work, folder))]
    if not todo:
        return
    n_trials = sum(len(trials) - _n_counted(cell, known) for work, known in todo for cell, trials in work.cells)
    with reporter.task("attribute failures", n_trials, unit="trials") as task:
        for work, known in todo:
            try:
                for counts in _count_missing(work, known, builder):
                    known[counts.cell] = counts.plus(known[counts.cell]) if counts.cell in known else counts
                    task.advance(len(counts.trials))
            finally:
                save_counts(folder, f"{work.subject.key}{suffix}", known.values())


def _count_missing(
    work: CountingWork, known: Mapping[str, FlipCounts], builder: SubjectBuilder
) -> Iterator[FlipCounts]:
    components, network = build_components(work.subject), builder.protect(work.subject)
    space = components.fault_space(network)
    bit_kinds = BitKinds(network, space)
    for cell, trials in work.cells:
        counted = known[cell.key].trials if cell.key in known else frozenset()
        if new := [trial for trial in trials if trial.trial not in counted]:
            yield count_flips_of(bit_kinds, _draw_again(components, space, cell), new, golden=work.golden)


def count_flips_of(
    bit_kinds: BitKinds, draw: Callable[[Trial], FaultMap], trials: Sequence[Trial], *, golden: Golden
) -> FlipCounts:
    """Return the flip counts of at least one trial of a cell; draw returns a trial's fault map."""
    totals = np.zeros((4, bit_kinds.n_keys), dtype=np.int64)
    failed = np.array([has_failed(trial, golden) for trial in trials])
    right = np.array([round(ACCURACY_UNIT * trial_accuracy(trial, golden)) for trial in trials], dtype=np.int64)
    for start in range(0, len(trials), N_TOGETHER):
        part = slice(start, start + N_TOGETHER)
        totals += _count(bit_kinds, [draw(trial) for trial in trials[part]], failed[part], right[part])
    keys = np.flatnonzero(totals[0])
    owner, bit_and_held = np.divmod(keys, KEYS_PER_OWNER)
    rows = np.column_stack([owner, *np.divmod(bit_and_held, 2), *totals[:, keys]])
    numbers = frozenset(trial.trial for trial in trials)
    return FlipCounts(trials[0].cell, numbers, int(failed.sum()), int(right.sum()), bit_kinds.owners, rows)


def _count(
    bit_kinds: BitKinds, maps: Sequence[FaultMap], failed: NDArray[np.bool_], right: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return flips, trials, failed trials and accuracies in `ACCURACY_UNIT`: a row each, a column per key."""
    keys = bit_kinds.keys(np.concatenate([fault_map.addresses for fault_map in maps]))
    held = np.zeros((len(maps), bit_kinds.n_keys), dtype=np.bool_)
    trial = np.repeat(np.arange(len(maps)), [len(fault_map) for fault_map in maps])
    held[np.tile(trial, 2), keys] = True
    flips = np.bincount(keys, minlength=bit_kinds.n_keys)
    return np.stack([flips, held.sum(axis=0), held[failed].sum(axis=0), right @ held])


def _draw_again(components: Components, space: FaultSpace, cell: Cell) -> Callable[[Trial], FaultMap]:
    def draw(trial: Trial) -> FaultMap:
        fault_map = components.fault.draw(space, ber=cell.ber, seed=cell.subject.seed, trial=trial.trial)
        if fault_map.digest != trial.flips_digest:
            raise FaultbenchError(
                f"cell {cell.key} trial {trial.trial}: {trial.n_flips} flips {trial.flips_digest} were recorded, and "
                f"{len(fault_map)} flips {fault_map.digest} are drawn now; another version drew them: use another -o"
            )
        return fault_map

    return draw


def _known(work: CountingWork, folder: Path) -> dict[str, FlipCounts]:
    golden = work.golden
    outcomes: Mapping[str, Outcomes] = {
        cell.key: {trial.trial: has_failed(trial, golden) for trial in trials} for cell, trials in work.cells
    }
    return load_counts(folder, [work.subject.key], outcomes)


def _n_counted(cell: Cell, known: Mapping[str, FlipCounts]) -> int:
    return len(known[cell.key].trials) if cell.key in known else 0


def _is_missing(work: CountingWork, known: Mapping[str, FlipCounts]) -> bool:
    return any(len(trials) > _n_counted(cell, known) for cell, trials in work.cells)
