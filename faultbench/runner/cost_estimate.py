"""Cost of the rest of a campaign: time, estimated from a few passes of each network, and disk space."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from faultbench.campaign import Campaign, Choice
from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.datasets import SizedDataset
from faultbench.networks.failures import network_errors
from faultbench.networks.filter_layout import lies_channels_last
from faultbench.networks.training import training_loss
from faultbench.results.journal.contents import JournalContents
from faultbench.results.missing_trials import count_missing
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import recipe_of
from faultbench.runner.subjects.components import Components
from faultbench.runner.subjects.subject_keys import bounds_name, weights_name
from faultbench.schemes.fitting.effort import FittingExtent, ForeseeableScheme
from faultbench.system.threads import threads
from faultbench.trials.images_per_trial import PILOT_IMAGES

STEP_IMAGES = 16
"""Images of the training step that is timed, and the fewest images of a timed pass."""

TIMED_MACS = 2e10
"""Enough multiply-accumulates for a timed pass; a campaign's whole batch of a large network would take seconds."""


@dataclass(frozen=True)
class CostEstimate:
    """Seconds of one core of this machine that a campaign still takes, as if each trial ran the whole network.

    trial_s is the time of all missing trials of a cell, by cell key; of adaptive trials up to the next decision.
    n_missing counts them. Training and fitting count if the results folder holds no network or bounds. unforeseen names
    training and fitting whose cost the data set or the scheme does not tell.
    """

    n_missing: Mapping[str, int]
    trial_s: Mapping[str, float]
    golden_s: float
    training_s: float
    fitting_s: float
    unforeseen: tuple[str, ...]

    @property
    def trials_s(self) -> float:
        """Seconds of all trials."""
        return sum(self.trial_s.values())

    @property
    def total_s(self) -> float:
        """Seconds of everything that could be estimated."""
        return self.trials_s + self.golden_s + self.training_s + self.fitting_s


def estimate_cost(
    campaign: Campaign, all_components: Mapping[str, Components], known: JournalContents, artifacts: ArtifactStore
) -> CostEstimate:
    """Estimate the cost of the rest of a campaign.

    all_components goes by subject key; known and artifacts are those of the results folder.
    """
    n_missing = count_missing(campaign, known)
    n_images_known = _images_of_done(known)
    trial_s: dict[str, float] = {}
    golden_s = 0.0
    effort = _Effort(artifacts)
    for subject in campaign.subjects:
        components, cells = all_components[subject.key], campaign.cells_of(subject)
        if not any(n_missing[cell.key] for cell in cells):
            trial_s.update((cell.key, 0.0) for cell in cells)
            continue
        image_s = forward_s(components)
        golden_s += image_s * components.n_images
        effort.add(components, image_s)
        overhead_images = 0.0 if subject.per_trial is None else components.overhead_images
        for cell in cells:
            n_images = n_images_known.get(cell.key, _images_per_trial(components))
            trial_s[cell.key] = n_missing[cell.key] * image_s * (n_images + overhead_images)
    return CostEstimate(n_missing, trial_s, golden_s, effort.training_s, effort.fitting_s, tuple(effort.unforeseen))


def forward_s(components: Components) -> float:
    """Return the seconds of inference per image on one core of this machine, with arbitrary weights.

    It is the faster of two passes over a batch of blank images.
    """
    network = components.untrained_network
    enough = max(STEP_IMAGES, round(TIMED_MACS / network.macs(components.dataset.shape)))
    batch = min(components.batch(network), components.n_images, enough)
    images = torch.zeros(batch, *components.dataset.shape)
    with threads(1), torch.inference_mode():
        return _quickest(lambda: network(images)) / batch


def step_s(components: Components) -> float:
    """Return the seconds of training per image, forward and backward: the faster of two steps without an optimiser."""
    subject = components.subject
    # Given weights are never trained; only bounds are, in eval mode.
    model = components.model().train(subject.weights is None)
    title = f"train {subject.model.label} on {subject.dataset.label}"
    images = torch.zeros(STEP_IMAGES, *components.dataset.shape)
    if lies_channels_last(model):
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(STEP_IMAGES, dtype=torch.long)

    def step() -> None:
        training_loss(model, images, labels, title).backward()  # type: ignore[no-untyped-call]  # torch's

    # Dropout draws from torch's global generator.
    with threads(1), torch.random.fork_rng(devices=[]), network_errors(title, model):
        return _quickest(step) / STEP_IMAGES


class _Effort:
    """Sum of the training and fitting that no artifact makes unnecessary; each network and bounds count once."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self.training_s = self.fitting_s = 0.0
        self.unforeseen: dict[str, None] = {}
        self._artifacts = artifacts
        self._counted: set[str] = set()
        self._step: tuple[tuple[Choice, Choice], float] | None = None

    def add(self, components: Components, image_s: float) -> None:
        """Add a subject; image_s is its seconds of inference per image."""
        subject = components.subject
        extent = None
        if isinstance(components.dataset, SizedDataset):
            data = components.dataset
            n_sites = len(components.untrained_network.sites)
            extent = FittingExtent(n_sites, data.n_trained, data.n_held_out, subject.training.schedule)
        if subject.weights is None and self._is_new(weights_name(subject)):
            self._add_training(components, extent)
        if self._is_new(bounds_name(subject)):
            self._add_fitting(components, extent, image_s)

    def _add_training(self, components: Components, extent: FittingExtent | None) -> None:
        subject = components.subject
        if extent is None:
            self.unforeseen[f"training on {subject.dataset.label}"] = None
        else:
            self.training_s += recipe_of(subject.training).n_epochs * extent.n_train * self._step_s(components)

    def _add_fitting(self, components: Components, extent: FittingExtent | None, image_s: float) -> None:
        if extent is None or not isinstance(components.scheme, ForeseeableScheme):
            self.unforeseen[f"fitting {components.subject.scheme.label}"] = None
        else:
            effort = components.scheme.effort(extent)
            trained_s = effort.n_trained * self._step_s(components) if effort.n_trained else 0.0
            self.fitting_s += effort.n_run * image_s + trained_s

    def _is_new(self, name: str) -> bool:
        if name in self._counted:
            return False
        self._counted.add(name)
        return not self._artifacts.path(name).exists()

    def _step_s(self, components: Components) -> float:
        # Only the last one is kept, because the schemes of a network come one after another.
        key = components.subject.dataset, components.subject.model
        if self._step is None or self._step[0] != key:
            self._step = key, step_s(components)
        return self._step[1]


def _images_per_trial(components: Components) -> int:
    per_trial = components.subject.per_trial
    return components.n_images if per_trial is None else PILOT_IMAGES if per_trial == "auto" else per_trial


def _images_of_done(known: JournalContents) -> dict[str, int]:
    """Return, by cell key, how many images each trial after the pilot looks at, of the cells in which one is done."""
    return {cell: trial.n_images for (cell, number), trial in known.trials.items() if number >= N_PILOT}


TRIAL_BYTES = 350
"""Disk space per trial: a line of the journal and a line of `trials.csv`."""


def disk_bytes(all_components: Mapping[str, Components], n_missing: int) -> int:
    """Return the disk space of a campaign's rows, networks and bounds, without data sets.

    all_components goes by subject key. Figures and tables of cells are small in comparison.
    """
    weights: dict[tuple[Choice, Choice], int] = {}
    n_bounds = 0
    for components in all_components.values():
        network = components.untrained_network
        own = sum(item.tensor.numel() for item in network.parameters() if item.kind == "bounds")
        n_bounds += own
        whole = sum(tensor.numel() for tensor in network.graph.state_dict().values())
        weights[components.subject.dataset, components.subject.model] = whole - own
    return n_missing * TRIAL_BYTES + 4 * (sum(weights.values()) + n_bounds)


def _quickest(run: Callable[[], object]) -> float:
    """Return the seconds of the faster of two runs."""
    durations_s = []
    for _ in range(2):
        started = time.perf_counter()
        run()
        durations_s.append(time.perf_counter() - started)
    return min(durations_s)
