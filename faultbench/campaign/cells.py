"""Grid of a campaign: its cells, the protected networks in them, and the keys that identify both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from faultbench.campaign.choices import Choice
from faultbench.campaign.fields import ImagesPerTrial, Sampling
from faultbench.campaign.given_weights import GivenWeights
from faultbench.campaign.keys import RESULTS_VERSION, digest
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.campaign.training import Training
from faultbench.plugins.modules import PluginModule


@dataclass(frozen=True)
class Subject:
    """Protected network that faults are injected into: a cell without its BER."""

    dataset: Choice
    model: Choice
    scheme: Choice
    guard: Choice
    format: Choice
    fault: Choice
    images: int | None
    """Number of test images that accuracies refer to. None is all of them."""
    per_trial: ImagesPerTrial
    batch: int | None
    """Images per forward pass; None applies the network's own rule. It can change the last bits of a linear layer."""
    seed: int
    training: Training
    weights: GivenWeights | None
    """Weights to load instead of training."""
    sampling: Sampling = "plain"

    @cached_property
    def record(self) -> dict[str, Any]:
        """Return everything that changes the meaning of a trial of the subject."""
        return {
            "law": RESULTS_VERSION,
            "dataset": self.dataset.record,
            "model": self.model.record,
            "scheme": self.scheme.record,
            "guard": self.guard.record,
            "format": self.format.record,
            "fault": self.fault.record,
            "images": self.images if self.per_trial is None else {"per_trial": self.per_trial, "of": self.images},
            "batch": self.batch,
            "seed": self.seed,
            **self.training.record,
            "weights": None if self.weights is None else self.weights.record,
            # Plain sampling is left out, so that keys equal those from before this option existed.
            **({} if self.sampling == "plain" else {"sampling": self.sampling}),
        }

    @cached_property
    def key(self) -> str:
        """Return 32 hex digits that are equal for subjects of the same meaning."""
        return digest(self.record)


@dataclass(frozen=True)
class Cell:
    """Subject at one bit error rate."""

    subject: Subject
    ber: float

    @cached_property
    def key(self) -> str:
        """Return 32 hex digits that are equal for cells of the same meaning."""
        return digest({**self.subject.record, "ber": self.ber})


@dataclass(frozen=True)
class Campaign:
    """Checked campaign: every name exists, every value is in range, and no two cells are the same."""

    name: str
    source: Path
    trials: int
    """Largest number of trials per cell."""
    seed: int
    spec: Mapping[str, Any] = field(hash=False)
    """Campaign with every default written out, in plain JSON values. It is a valid campaign file."""
    cells: tuple[Cell, ...]
    """Cells in the order of the file: the data set changes slowest, then model, scheme, guard, format, fault, BER."""
    identity: str
    """32 hex digits of what must stay the same in a results folder. Axes and trial counts may grow."""
    plugins: tuple[PluginModule, ...] = ()
    """Modules of a lab's own, found but not imported."""

    @cached_property
    def rule(self) -> StoppingRule:
        """Return the rule for the number of trials per cell."""
        return StoppingRule.read(self.spec["trials"], self.spec["images"])

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """Return the subjects of the cells in order, each once."""
        return tuple(dict.fromkeys(cell.subject for cell in self.cells))

    def cells_of(self, subject: Subject) -> list[Cell]:
        """Return the cells of a subject in order."""
        return [cell for cell in self.cells if cell.subject == subject]
