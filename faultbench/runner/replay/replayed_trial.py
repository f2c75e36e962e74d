"""Replay of a stored trial from its results folder, which holds the campaign, weights and bounds."""

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
from faultbench.runner.subjects.builder import SubjectBuilder, dataset_splits
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.plugin_building import build
from faultbench.system.devices import available_device
from faultbench.system.errors import FaultbenchError
from faultbench.system.memory_budget import memory_for
from faultbench.system.progress.reporter import Reporter
from faultbench.trials.evaluation import Evaluation, Outcome
from faultbench.trials.trial import TrialJob, golden_record, run_job, stratified_fault_model, with_stratum


def recorded_campaign(folder: Path, moved: Path | None = None, *, allow_outside: bool = False) -> Campaign:
    """Return the campaign of a results folder, as its manifest records it.

    Relative paths start at the folder of moved, the present file of the campaign, or of the recorded file.
    """
    manifest = read_manifest(folder)
    recorded = manifest.get("source")
    source = moved or (Path(recorded) if isinstance(recorded, str) else folder / "manifest.json")
    return parse_campaign(json.dumps(manifest.get("spec")), source.absolute(), allow_outside=allow_outside)


APART = 0.02
"""Share of a trial's images that another device may count differently. Its last bits differ, and if flips have ruined
logits, a class may depend on them: of 80 trials of AlexNet on CIFAR-10, of 1,000 images each, 18 differed between a
processor and an H100, by 1 to 8 images."""


@dataclass(frozen=True)
class ReplayedTrial:
    """Trial as it is stored and as it is now, with what is needed to examine it."""

    stored: Trial
    now: Trial
    golden_differs: str
    """Difference of the golden run from the recorded one; empty if there is none."""
    is_elsewhere: bool
    """Whether the stored trial ran on a card that this machine lacks."""
    fault_map: FaultMap
    rows: torch.Tensor
    """Ascending indices of the test images that the trial looked at."""
    images: Images
    """Test images that the trial looked at."""
    batch: int
    outcome: Callable[[FaultMap], Outcome]
    """Return the outcome of any flips on the same images."""
    _make: Callable[[], tuple[Network, FaultSpace]]

    @property
    def golden(self) -> Outcome:
        """Outcome of the golden run on the same images."""
        return self.outcome(FaultMap(np.empty(0, np.int64)))

    @property
    def differences(self) -> list[str]:
        """Differences of the row from the stored one; empty if there are none."""
        pairs = ((name, value, getattr(self.now, name)) for name, value in vars(self.stored).items())
        rows = [f"{name} {before} stored, {after} now" for name, before, after in pairs if before != after]
        return ([self.golden_differs] if self.golden_differs else []) + rows

    @property
    def agrees(self) -> bool:
        """Whether the row is as stored; on another device, with the same flips and all but `APART` of the images."""
        if not self.is_elsewhere:
            return not self.differences
        n_apart = self.stored.images_apart(self.now)
        return n_apart is not None and n_apart <= APART * self.stored.n_images

    @cached_property
    def live(self) -> tuple[Network, FaultSpace]:
        """Protected network, and the fault space over its own parameters."""
        return self._make()


def replay_trial(
    campaign: Campaign, folder: ResultsFolder, entry: CellEntry, stored: Trial, *, reporter: Reporter
) -> ReplayedTrial:
    """Run a stored trial again; train or fit only what the folder's artifacts lack.

    FaultbenchError if the campaign, as it reads now, has no such cell.
    """
    cell = _cell(campaign, entry, folder.path)
    subject = cell.subject
    recorded = recorded_device(folder.path)
    device = available_device(recorded)
    artifacts, memory_bytes = ArtifactStore(folder.path / "artifacts"), memory_for(1, device)
    builder = SubjectBuilder(artifacts, reporter, memory_bytes=memory_bytes, device=device)
    evaluation = builder.evaluation(subject, [cell.ber])
    recording = _RecordingEvaluation(evaluation)
    fault_model, job = _drawing(folder, entry, evaluation, subject), _job(cell, stored)
    now = run_job(recording, fault_model, subject.seed, job)  # type: ignore[arg-type]  # stands in
    now = with_stratum(now, fault_model, subject.seed, job)
    components, pool = build_components(subject), dataset_splits(subject.dataset).test.first(subject.images)
    rows = torch.arange(len(pool)) if recording.chosen is None else torch.from_numpy(recording.chosen)

    def live() -> tuple[Network, FaultSpace]:
        network = builder.protect(subject)
        return network, components.fault_space(network)

    return ReplayedTrial(
        stored=stored,
        now=now,
        golden_differs=_golden_difference(
            folder.journal.goldens.get(entry.subject), golden_record(subject, evaluation)
        ),
        is_elsewhere=recorded == "cuda" != device,
        fault_map=recording.fault_map,
        rows=rows,
        images=pool if recording.chosen is None else pool.select(rows),
        batch=components.batch(builder.network(subject)),
        outcome=recording.again,
        _make=live,
    )


class _RecordingEvaluation:
    """Evaluation that records the flips of a trial and the images that it looks at."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._asked: tuple[Any, ...] = ()
        self.fault_map = FaultMap(np.empty(0, np.int64))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._evaluation, name)

    def outcome(self, fault_map: FaultMap, *chosen: Any) -> Outcome:
        """Record the arguments, and return the evaluation's outcome."""
        self.fault_map, self._asked = fault_map, chosen
        return self._evaluation.outcome(fault_map, *chosen)

    def again(self, fault_map: FaultMap) -> Outcome:
        """Return the outcome of other flips on the images that the trial looked at."""
        return self._evaluation.outcome(fault_map, *self._asked)

    @property
    def chosen(self) -> Any:
        """Indices of the images that the trial looked at; None is all of them."""
        return self._asked[0] if self._asked else None


def _drawing(folder: ResultsFolder, entry: CellEntry, evaluation: Evaluation, subject: Subject) -> Any:
    plain, strata = build(subject.fault), folder.strata(entry)
    if strata is None:
        return plain
    return stratified_fault_model(evaluation, folder.journal.hazards[entry.subject], {entry.ber: strata}, plain)


def _job(cell: Cell, stored: Trial) -> TrialJob:
    n_images = None if stored.n_golden_correct is None else stored.n_images
    return TrialJob(cell.key, cell.ber, stored.trial, n_images)


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
