"""A stored trial run again, from what its results folder holds: the campaign written out, weights and bounds."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faultbench.campaign import Campaign, Cell, Subject, parse_campaign
from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.networks.network import Network
from faultbench.results.folder import CellEntry, ResultsFolder
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.manifest_file import read_manifest, recorded_device
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import Bench, splits
from faultbench.runner.subjects.components import build, parts
from faultbench.runner.tasks.worker import Job, golden_record, in_strata, in_stratum, run_job
from faultbench.system.devices import nearest
from faultbench.system.errors import FaultbenchError
from faultbench.system.memory_budget import memory_for
from faultbench.system.progress.reporter import Reporter
from faultbench.trials.evaluation import Evaluation, Outcome


def recorded_campaign(folder: Path, moved: Path | None = None, *, allow_outside: bool = False) -> Campaign:
    """The campaign that a results folder was made by, as its manifest has it.

    Relative paths start at the folder of moved, the campaign's file, or at the recorded one.
    """
    manifest = read_manifest(folder)
    recorded = manifest.get("source")
    source = moved or (Path(recorded) if isinstance(recorded, str) else folder / "manifest.json")
    return parse_campaign(json.dumps(manifest.get("spec")), source.absolute(), allow_outside=allow_outside)


APART = 0.02
"""Share of a trial's images that another device may count otherwise. Its last bits are others, and where flips have
ruined logits a class hangs on them: of 80 trials of AlexNet on CIFAR-10, of 1,000 images each, 18 came out otherwise on
a processor than on an H100, by 1 to 8 images."""


@dataclass(frozen=True)
class Again:
    """A trial as it is stored, as it came out now, and what it takes to look at it."""

    stored: Trial
    now: Trial
    golden_differs: str
    """How the golden run differs from the recorded one; empty where it does not."""
    is_elsewhere: bool
    """Whether the trial is stored from a card that is not here."""
    fault_map: FaultMap
    rows: torch.Tensor
    """Indices of the test images that it looked at, ascending."""
    images: Images
    """Those images."""
    batch: int
    outcome: Callable[[FaultMap], Outcome]
    """The outcome of any other flips on the same images."""
    _make: Callable[[], tuple[Network, FaultSpace]]

    @property
    def golden(self) -> Outcome:
        """The golden run's outcome on the same images."""
        return self.outcome(FaultMap(np.empty(0, np.int64)))

    @property
    def differences(self) -> list[str]:
        """What of the row is not as stored; empty where all is."""
        pairs = ((name, value, getattr(self.now, name)) for name, value in vars(self.stored).items())
        rows = [f"{name} {before} stored, {after} now" for name, before, after in pairs if before != after]
        return ([self.golden_differs] if self.golden_differs else []) + rows

    @property
    def agrees(self) -> bool:
        """Whether the row came out as stored; on another device, with the same flips and `APART` of the images."""
        if not self.is_elsewhere:
            return not self.differences
        n_apart = self.stored.images_apart(self.now)
        return n_apart is not None and n_apart <= APART * self.stored.n_images

    @cached_property
    def live(self) -> tuple[Network, FaultSpace]:
        """The protected network, and the fault space over its own parameters."""
        return self._make()


def run_again(
    campaign: Campaign, folder: ResultsFolder, entry: CellEntry, stored: Trial, *, reporter: Reporter
) -> Again:
    """Run a stored trial again; trains or fits only what the folder's artifacts lack.

    FaultbenchError when the campaign as it can be read now has no such cell.
    """
    cell = _cell(campaign, entry, folder.path)
    subject = cell.subject
    recorded = recorded_device(folder.path)
    device = nearest(recorded)
    artifacts, memory_bytes = ArtifactStore(folder.path / "artifacts"), memory_for(1, device)
    bench = Bench(artifacts, reporter, memory_bytes=memory_bytes, device=device)
    evaluation = bench.evaluation(subject, [cell.ber])
    watched = _Watched(evaluation)
    fault_model, job = _drawing(folder, entry, evaluation, subject), _job(cell, stored)
    now = run_job(watched, fault_model, subject.seed, job)  # type: ignore[arg-type]  # stands in
    now = in_stratum(now, fault_model, subject.seed, job)
    built, pool = parts(subject), splits(subject.dataset).test.first(subject.images)
    rows = torch.arange(len(pool)) if watched.chosen is None else torch.from_numpy(watched.chosen)

    def live() -> tuple[Network, FaultSpace]:
        network = bench.protected(subject)
        return network, built.fault_space(network)

    return Again(
        stored=stored,
        now=now,
        golden_differs=_golden_difference(
            folder.journal.goldens.get(entry.subject), golden_record(subject, evaluation)
        ),
        is_elsewhere=recorded == "cuda" != device,
        fault_map=watched.fault_map,
        rows=rows,
        images=pool if watched.chosen is None else pool.chosen(rows),
        batch=built.batch(bench.network(subject)),
        outcome=watched.again,
        _make=live,
    )


class _Watched:
    """An evaluation that notes what a trial asks of it: its flips, and the images it looks at."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._asked: tuple[Any, ...] = ()
        self.fault_map = FaultMap(np.empty(0, np.int64))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._evaluation, name)

    def outcome(self, fault_map: FaultMap, *chosen: Any) -> Outcome:
        """As the evaluation's own."""
        self.fault_map, self._asked = fault_map, chosen
        return self._evaluation.outcome(fault_map, *chosen)

    def again(self, fault_map: FaultMap) -> Outcome:
        """The outcome of other flips on the images that the trial looked at."""
        return self._evaluation.outcome(fault_map, *self._asked)

    @property
    def chosen(self) -> Any:
        """The indices of those images, None for all."""
        return self._asked[0] if self._asked else None


def _drawing(folder: ResultsFolder, entry: CellEntry, evaluation: Evaluation, subject: Subject) -> Any:
    plain, strata = build(subject.fault), folder.strata(entry)
    if strata is None:
        return plain
    return in_strata(evaluation, folder.journal.hazards[entry.subject], {entry.ber: strata}, plain)


def _job(cell: Cell, stored: Trial) -> Job:
    n_images = None if stored.n_golden_correct is None else stored.n_images
    return Job(cell.key, cell.ber, stored.trial, n_images)


def _cell(campaign: Campaign, entry: CellEntry, folder: Path) -> Cell:
    for cell in campaign.cells:
        if cell.key == entry.cell:
            return cell
    raise FaultbenchError(
        f"{folder}: its campaign, read now, has no cell {entry.cell[:12]}…: a file of weights, images or plug-ins "
        "changed, or faultbench itself; bring back what it was made with"
    )


def _golden_difference(recorded: Golden | None, now: Golden) -> str:
    if recorded is None or recorded == now:
        return ""
    return (
        f"golden run: {recorded.n_correct:,} of {recorded.n_images:,} correct recorded, {now.n_correct:,} now, "
        f"classes {recorded.top1_digest} recorded, {now.top1_digest} now"
    )
