"""Cost of storing a network in a number format, before any fault: values cut off, and golden accuracy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from faultbench.campaign import Choice, Subject
from faultbench.campaign.keys import digest
from faultbench.memory.formats.codec import Codec, quantised
from faultbench.memory.formats.saturation import range_text, saturated
from faultbench.networks.network import Network
from faultbench.networks.training import measure_accuracy
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder, dataset_splits
from faultbench.runner.subjects.components import Components, build_components
from faultbench.runner.subjects.subject_keys import bounds_name, protection_label, weights_name
from faultbench.schemes.scheme import protect_copy

MOST_IMAGES = 1000
"""Most test images that a format's cost is measured on; both runs see the same ones."""

WORTH_SAYING = 0.01
"""Golden accuracy that a format may cost without a warning: one point."""

SMALL_CHANGE = 0.01
"""Share by which storing may change a bound before its cost in accuracy is measured."""


@dataclass(frozen=True)
class FormatCost:
    """Values cut off by a number format, and golden accuracy of the network in it and in float32.

    Accuracies are fractions of the same n_images test images; None if they were not measured.
    """

    title: str
    format: str
    range: str
    values: str
    n_values: int
    n_saturated: int
    accuracy: float | None
    float32_accuracy: float | None
    n_images: int

    @property
    def warning(self) -> str | None:
        """Warning for readers of the results, with figures; None if the format costs next to nothing."""
        costs = [text for text in (self._cut_off, self._lost) if text]
        return f"{self.title}: number format {self.format}: {'; '.join(costs)}" if costs else None

    @property
    def _cut_off(self) -> str:
        if not self.n_saturated:
            return ""
        share = f"{100 * self.n_saturated / self.n_values:.3g} %"
        cut = f"{self.n_saturated:,} of {self.n_values:,} {self.values} ({share})"
        return f"{cut} lie outside of its range, {self.range}, and are cut off"

    @property
    def _lost(self) -> str:
        if self.accuracy is None or self.float32_accuracy is None:
            return ""
        if self.float32_accuracy - self.accuracy <= WORTH_SAYING + 1e-9:  # floats do not hold decimals
            return ""
        stored, exact = f"{100 * self.accuracy:.1f} %", f"{100 * self.float32_accuracy:.1f} %"
        return f"golden accuracy {stored}, in float32 {exact}, on the first {self.n_images:,} test images"


def format_costs(subject: Subject, builder: SubjectBuilder, artifacts: ArtifactStore) -> list[FormatCost]:
    """Measure what a subject's number format costs its parameters and its bounds; empty for float32.

    Missing networks and bounds are trained and fitted. Artifacts keep what was measured, and the schemes of a network
    share it.
    """
    if subject.format.name == "float32":
        return []
    costs = [_parameter_cost(subject, builder, artifacts)]
    return [*costs, _bound_cost(subject, builder, artifacts)] if builder.fit(subject)[0].bounds else costs


def _parameter_cost(subject: Subject, builder: SubjectBuilder, artifacts: ArtifactStore) -> FormatCost:
    """Measure the cost of storing a network's parameters, unprotected; the accuracy is always measured."""
    components, exact = build_components(subject), builder.network(_in_float32(subject))
    name = _name(weights_name(subject), subject, components)
    accuracies = _accuracies(name, artifacts, components, lambda: (builder.network(subject), exact))
    title = f"{subject.model.label} on {subject.dataset.label}"
    return _cost(components, title, "parameters", exact.graph.parameters(), accuracies)


def _bound_cost(subject: Subject, builder: SubjectBuilder, artifacts: ArtifactStore) -> FormatCost:
    """Measure the cost of storing a subject's bounds; accuracy is measured only if storing changes a bound."""
    components, bounds = build_components(subject), builder.fit(subject)[0].bounds
    title = protection_label(subject)
    if not any(_is_changed(components.codec, bound) for bound in bounds.values()):
        return _cost(components, title, "bounds", bounds.values(), None)

    def both() -> tuple[Network, Network]:
        return builder.protect(subject), protect_copy(builder.network(_in_float32(subject)), components.scheme, bounds)

    accuracies = _accuracies(_name(bounds_name(subject), subject, components), artifacts, components, both)
    return _cost(components, title, "bounds", bounds.values(), accuracies)


def _cost(
    components: Components, title: str, what: str, values: Iterable[Tensor], accuracies: tuple[float, float] | None
) -> FormatCost:
    tensors = [tensor for tensor in values if tensor.dtype == torch.float32]  # no format holds others
    stored, exact = accuracies or (None, None)
    return FormatCost(
        title=title,
        format=components.subject.format.label,
        range=range_text(components.codec),
        values=what,
        n_values=sum(tensor.numel() for tensor in tensors),
        n_saturated=sum(int(saturated(components.codec, tensor.detach()).sum()) for tensor in tensors),
        accuracy=stored,
        float32_accuracy=exact,
        n_images=_n_images(components),
    )


def _accuracies(
    name: str, artifacts: ArtifactStore, components: Components, networks: Callable[[], tuple[Network, Network]]
) -> tuple[float, float]:
    """Return golden accuracies of the stored network and of the one in float32, on the first test images."""
    artifact = artifacts.load(name)
    if artifact is None:
        images = dataset_splits(components.subject.dataset).test.first(_n_images(components))
        measured = [measure_accuracy(network, images, batch=components.batch(network)) for network in networks()]
        artifact = Artifact({}, {"made_from": name, "stored": repr(measured[0]), "float32": repr(measured[1])})
        artifacts.save(name, artifact)
    return float(artifact.notes["stored"]), float(artifact.notes["float32"])


def _name(of: str, subject: Subject, components: Components) -> str:
    statistics = "norm_statistics" in components.fault.targets  # they are stored too if faults can hit them
    record = {"of": of, "format": subject.format.record, "images": _n_images(components), "statistics": statistics}
    return f"format-{digest(record)}"


def _n_images(components: Components) -> int:
    return min(components.n_images, MOST_IMAGES)


def _in_float32(subject: Subject) -> Subject:
    return replace(subject, format=Choice("number_format", "float32", {}, "float32"))


def _is_changed(codec: Codec, bound: Tensor) -> bool:
    """Return whether storing a bound changes some value of it by more than `SMALL_CHANGE`."""
    return bool(((quantised(codec, bound) - bound).abs() > SMALL_CHANGE * bound.abs()).any())
