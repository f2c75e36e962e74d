"""What a campaign will take that is not done yet: guessed from a few passes of each network, and its disk."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from faultbench.campaign import Campaign, Choice
from faultbench.campaign.stopping_rule import N_PILOT
from faultbench.datasets import Counted
from faultbench.results.journal.journal import JournalContents
from faultbench.results.missing_trials import n_foreseen
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import bounds_name, recipe_of, weights_name
from faultbench.runner.subjects.components import Parts
from faultbench.schemes.fitting.effort import Extent, Foreseen
from faultbench.system.threads import threads
from faultbench.trials.images_per_trial import PILOT_IMAGES

STEP_IMAGES = 16
"""Of the training step that is timed, and the fewest of a pass."""

TIMED_MACS = 2e10
"""Multiply-accumulates of a timed pass that are enough: a campaign's batch of a large network would take seconds."""


@dataclass(frozen=True)
class Price:
    """Seconds of one core of this machine that a campaign still takes, as if each trial ran the whole network.

    trial_s goes by cell key and holds a cell's missing trials together, up to its next look where trials are adaptive;
    n_missing counts them. Training and fitting count where the results folder holds no network or bounds of them.
    unforeseen are the labels of data sets and schemes that do not tell what training on them, or fitting them, takes.
    """

    n_missing: Mapping[str, int]
    trial_s: Mapping[str, float]
    golden_s: float
    training_s: float
    fitting_s: float
    unforeseen: tuple[str, ...]

    @property
    def trials_s(self) -> float:
        """Of all trials."""
        return sum(self.trial_s.values())

    @property
    def total_s(self) -> float:
        """Of everything that could be foreseen."""
        return self.trials_s + self.golden_s + self.training_s + self.fitting_s


def price(campaign: Campaign, parts: Mapping[str, Parts], known: JournalContents, artifacts: ArtifactStore) -> Price:
    """What a campaign still takes; parts goes by subject key, known and artifacts are those of its results folder."""
    n_missing = n_foreseen(campaign, known)
    n_done = _images_of_done(known)
    trial_s: dict[str, float] = {}
    golden_s = 0.0
    effort = _Effort(artifacts)
    for subject in campaign.subjects:
        built, cells = parts[subject.key], campaign.cells_of(subject)
        if not any(n_missing[cell.key] for cell in cells):
            trial_s.update((cell.key, 0.0) for cell in cells)
            continue
        image_s = forward_s(built)
        golden_s += image_s * built.n_images
        effort.add(built, image_s)
        beside = 0.0 if subject.per_trial is None else built.trial_in_images
        for cell in cells:
            n_images = n_done.get(cell.key, _images_a_trial(built))
            trial_s[cell.key] = n_missing[cell.key] * image_s * (n_images + beside)
    return Price(n_missing, trial_s, golden_s, effort.training_s, effort.fitting_s, tuple(effort.unforeseen))


def forward_s(parts: Parts) -> float:
    """Seconds an image takes on one core of this machine, arbitrary weights standing in for the network's own.

    The faster of two passes over a batch of blank images.
    """
    network = parts.untrained
    enough = max(STEP_IMAGES, round(TIMED_MACS / network.macs(parts.dataset.shape)))
    batch = min(parts.batch(network), parts.n_images, enough)
    images = torch.zeros(batch, *parts.dataset.shape)
    with threads(1), torch.inference_mode():
        return _quickest(lambda: network(images)) / batch


def step_s(parts: Parts) -> float:
    """Seconds an image takes in training, forwards and backwards: the faster of two steps without an optimiser."""
    model = parts.model().train()
    images = torch.zeros(STEP_IMAGES, *parts.dataset.shape).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(STEP_IMAGES, dtype=torch.long)

    def step() -> None:
        F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    with threads(1), torch.random.fork_rng(devices=[]):  # dropout draws from torch's own numbers
        return _quickest(step) / STEP_IMAGES


class _Effort:
    """Adds up training and fitting that no artifact spares, each network and bounds once."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self.training_s = self.fitting_s = 0.0
        self.unforeseen: dict[str, None] = {}
        self._artifacts = artifacts
        self._met: set[str] = set()
        self._step: tuple[tuple[Choice, Choice], float] | None = None

    def add(self, built: Parts, image_s: float) -> None:
        """Of a subject, an image of which takes so long."""
        subject = built.subject
        extent = None
        if isinstance(built.dataset, Counted):
            data = built.dataset
            n_sites = len(built.untrained.sites)
            extent = Extent(n_sites, data.n_trained, data.n_held_out, subject.training.schedule)
        if subject.weights is None and self._is_new(weights_name(subject)):
            if extent is None:
                self.unforeseen[f"training on {subject.dataset.label}"] = None
            else:
                self.training_s += recipe_of(subject.training).n_epochs * extent.n_train * self._step_s(built)
        if self._is_new(bounds_name(subject)):
            if extent is None or not isinstance(built.scheme, Foreseen):
                self.unforeseen[f"fitting {subject.scheme.label}"] = None
            else:
                effort = built.scheme.effort(extent)
                trained_s = effort.n_trained * self._step_s(built) if effort.n_trained else 0.0
                self.fitting_s += effort.n_run * image_s + trained_s

    def _is_new(self, name: str) -> bool:
        if name in self._met:
            return False
        self._met.add(name)
        return not self._artifacts.path(name).exists()

    def _step_s(self, built: Parts) -> float:
        # One is kept: the schemes of a network come one after another.
        key = built.subject.dataset, built.subject.model
        if self._step is None or self._step[0] != key:
            self._step = key, step_s(built)
        return self._step[1]


def _images_a_trial(built: Parts) -> int:
    per_trial = built.subject.per_trial
    return built.n_images if per_trial is None else PILOT_IMAGES if per_trial == "auto" else per_trial


def _images_of_done(known: JournalContents) -> dict[str, int]:
    """Cell key → how many images its trials after the pilot look at, where one is done."""
    return {cell: trial.n_images for (cell, number), trial in known.trials.items() if number >= N_PILOT}


TRIAL_BYTES = 350
"""Of disk that a trial takes: a line of the journal and one of `trials.csv`."""


def disk_bytes(parts: Mapping[str, Parts], n_missing: int) -> int:
    """What a campaign's rows, networks and bounds take on the disk; not what data sets take.

    parts goes by subject key. Figures and tables of cells are small beside them.
    """
    weights: dict[tuple[Choice, Choice], int] = {}
    n_bounds = 0
    for built in parts.values():
        network = built.untrained
        own = sum(item.tensor.numel() for item in network.parameters() if item.kind == "bounds")
        n_bounds += own
        whole = sum(tensor.numel() for tensor in network.graph.state_dict().values())
        weights[built.subject.dataset, built.subject.model] = whole - own
    return n_missing * TRIAL_BYTES + 4 * (sum(weights.values()) + n_bounds)


def _quickest(run: Callable[[], object]) -> float:
    """Seconds of the faster of two runs."""
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)
