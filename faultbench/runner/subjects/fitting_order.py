"""Order in which subjects are trained and fitted: finished and cheap ones first, so that their trials run early."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from faultbench.campaign import Choice, Subject
from faultbench.datasets import SizedDataset
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import recipe_of
from faultbench.runner.subjects.components import Components, build_components
from faultbench.runner.subjects.subject_keys import bounds_name, weights_name
from faultbench.schemes.fitting.effort import FittingExtent, ForeseeableScheme

CHEAP_PASSES = 3
"""Most inferences per profiled image that a cheap fit takes."""

BACKWARD = 3
"""Cost of a training step per image, in inferences: one forward, and backward about two."""


def fitting_stages(subjects: Sequence[Subject], artifacts: ArtifactStore) -> list[list[Subject]]:
    """Return the subjects in groups; a group is trained and fitted as a whole before its trials begin.

    First come subjects whose network and bounds exist or are cheap, then the cheap ones of each network that is to be
    trained, and then the others, each by itself. The last two kinds are ordered by cost, unknown costs last. The order
    changes no result.
    """
    work = _Work(artifacts)
    groups: dict[tuple[str, ...], list[Subject]] = {}
    costs: dict[tuple[str, ...], float] = {}
    for subject in subjects:
        key, cost = work.group(subject)
        groups.setdefault(key, []).append(subject)
        costs.setdefault(key, cost)
    return [groups[key] for key in sorted(groups, key=lambda key: costs[key])]


@dataclass(frozen=True)
class _Work:
    """Training and fitting that is still to be done, in multiply-accumulates."""

    artifacts: ArtifactStore
    _counts: dict[tuple[Choice, Choice], tuple[int, int]] = field(default_factory=dict)
    """Number of sites and multiply-accumulates per image, by data set and network."""

    def group(self, subject: Subject) -> tuple[tuple[str, ...], float]:
        """Return the name of a subject's group, and the group's cost."""
        is_trained = subject.weights is not None or self.artifacts.path(weights_name(subject)).exists()
        is_fitted = self.artifacts.path(bounds_name(subject)).exists()
        if is_trained and is_fitted:
            return (), -1.0
        components = build_components(subject)
        extent, n_macs = self._extent(components)
        training = 0.0 if is_trained else _training(components, extent)
        fitting = 0.0 if is_fitted else _fitting(components, extent)
        if fitting > CHEAP_PASSES * (0 if extent is None else extent.n_profiled):
            return ("subject", subject.key), (training + fitting) * n_macs
        return ((), -1.0) if is_trained else (("network", weights_name(subject)), training * n_macs)

    def _extent(self, components: Components) -> tuple[FittingExtent | None, int]:
        """Return the extent of a fit, None if the data set does not tell it, and multiply-accumulates per image."""
        key = components.subject.dataset, components.subject.model
        if key not in self._counts:
            network = components.untrained_network
            self._counts[key] = len(network.sites), network.macs(components.dataset.shape)
        n_sites, n_macs = self._counts[key]
        if not isinstance(data := components.dataset, SizedDataset):
            return None, n_macs
        return FittingExtent(n_sites, data.n_trained, data.n_held_out, components.subject.training.schedule), n_macs


def _training(components: Components, extent: FittingExtent | None) -> float:
    """Return how many inferences a training takes."""
    return math.inf if extent is None else BACKWARD * recipe_of(components.subject.training).n_epochs * extent.n_train


def _fitting(components: Components, extent: FittingExtent | None) -> float:
    """Return how many inferences a fit takes."""
    if extent is None or not isinstance(components.scheme, ForeseeableScheme):
        return math.inf
    effort = components.scheme.effort(extent)
    return effort.n_run + BACKWARD * effort.n_trained
