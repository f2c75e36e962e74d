"""A campaign's grid: cells, the protected networks that they put faults into, and what identifies each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from faultbench.campaign.choices import Choice
from faultbench.campaign.given_weights import GivenWeights
from faultbench.campaign.keys import LAW, digest
from faultbench.campaign.stopping_rule import Rule
from faultbench.campaign.training import Training
from faultbench.plugins.modules import PluginModule


@dataclass(frozen=True)
class Subject:
    """The protected network that faults are put into: a cell without its BER."""

    dataset: Choice
    model: Choice
    scheme: Choice
    guard: Choice
    format: Choice
    fault: Choice
    images: int | None
    """Test images that accuracies are about; None is all of them."""
    per_trial: int | Literal["auto"] | None
    """How many of them a trial looks at, drawn anew for each; None is all, auto as many as the first trials say."""
    batch: int | None
    """Images a forward pass, None by the network's own rule; rows of a linear layer can differ with it in last bits."""
    seed: int
    training: Training
    weights: GivenWeights | None
    """Weights to load instead of training."""
    sampling: Literal["plain", "stratified"] = "plain"
    """How trials draw their flips."""

    @cached_property
    def record(self) -> dict[str, Any]:
        """All that changes what a trial of the subject means."""
        return {
            "law": LAW,
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
            **({} if self.sampling == "plain" else {"sampling": self.sampling}),  # plain cells have older keys
        }

    @cached_property
    def key(self) -> str:
        """32 hex digits, equal for subjects that mean the same."""
        return digest(self.record)


@dataclass(frozen=True)
class Cell:
    """A subject at one bit error rate."""

    subject: Subject
    ber: float

    @cached_property
    def key(self) -> str:
        """32 hex digits, equal for cells that mean the same."""
        return digest({**self.subject.record, "ber": self.ber})


@dataclass(frozen=True)
class Campaign:
    """A checked campaign: every name exists, every value is in range, and no two cells are the same."""

    name: str
    source: Path
    trials: int
    """A cell, at most."""
    seed: int
    spec: Mapping[str, Any] = field(hash=False)
    """The campaign with every default written out, in plain JSON values; itself a campaign file."""
    cells: tuple[Cell, ...]
    """In the order of the file; the data set changes slowest, then model, scheme, guard, format, fault."""
    identity: str
    """32 hex digits of what may not change in a results folder; axes and trial counts may grow."""
    plugins: tuple[PluginModule, ...] = ()
    """Modules of a lab's own, found but not imported."""

    @cached_property
    def rule(self) -> Rule:
        """How many trials a cell gets."""
        return Rule.read(self.spec["trials"], self.spec["images"])

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """The subjects of the cells, each once, in order."""
        return tuple(dict.fromkeys(cell.subject for cell in self.cells))

    def cells_of(self, subject: Subject) -> list[Cell]:
        """The cells of a subject, in order."""
        return [cell for cell in self.cells if cell.subject == subject]
