"""Keys, artifact names and labels of what a subject is made from: its images, network and bounds."""

from collections.abc import Iterable
from typing import Any

from faultbench.campaign import Subject
from faultbench.campaign.keys import RESULTS_VERSION, digest
from faultbench.results.content_digests import BOUNDS, BUFFERS, IMAGES, WEIGHTS


def images_key(subject: Subject) -> str:
    """Return 32 hex digits of what a subject's images are made from."""
    return digest(subject.dataset.record)


def network_key(subject: Subject) -> str:
    """Return 32 hex digits of what a subject's stored, unprotected network is made from."""
    return digest({**_weights_record(subject), "format": subject.format.record})


def weights_name(subject: Subject) -> str:
    """Return the name of the artifact of a subject's trained network."""
    return f"weights-{digest(_weights_record(subject))}"


def bounds_name(subject: Subject) -> str:
    """Return the name of the artifact of a subject's fitted bounds."""
    fitting_record = {"scheme": subject.scheme.record, "format": subject.format.record, "batch": subject.batch}
    return f"bounds-{digest({**_weights_record(subject), **fitting_record})}"


def _weights_record(subject: Subject) -> dict[str, Any]:
    return {
        "law": RESULTS_VERSION,
        "dataset": subject.dataset.record,
        "model": subject.model.record,
        "seed": subject.seed,
        **subject.training.record,
        "weights": None if subject.weights is None else subject.weights.record,
    }


def network_label(subject: Subject) -> str:
    """Return the label of a subject's stored network."""
    return f"{subject.dataset.label}/{subject.model.label}/{subject.format.label}"


def protection_label(subject: Subject) -> str:
    """Return the label of a subject's bounds, which warnings use."""
    return f"{subject.model.label}/{subject.scheme.label} on {subject.dataset.label}"


def titles(subjects: Iterable[Subject]) -> dict[str, str]:
    """Return the labels of images, networks and bounds, by their keys."""
    labels: dict[str, str] = {}
    for subject in subjects:
        network = network_label(subject)
        labels |= {images_key(subject): subject.dataset.label, network_key(subject): network}
        labels[bounds_name(subject)] = f"{network}/{subject.scheme.label}"
    return labels


def keys_of(subject: Subject) -> dict[str, str]:
    """Return the keys of a subject's images, network, buffers and bounds, by kind."""
    network = network_key(subject)
    return {IMAGES: images_key(subject), WEIGHTS: network, BUFFERS: network, BOUNDS: bounds_name(subject)}
