"""Check that given weights are as accurate as the campaign declares: wrongly loaded weights must give no result."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from faultbench.campaign import Subject
from faultbench.campaign.given_weights import GivenWeights
from faultbench.campaign.keys import RESULTS_VERSION, digest
from faultbench.networks.agreement.sample_images import N_COMPARED
from faultbench.networks.training import measure_accuracy
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.builder import dataset_splits
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.given_network import given_network
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Reporter
from faultbench.system.threads import threads


@dataclass(frozen=True)
class DeclaredAccuracy:
    """Golden accuracy that a campaign declares for given weights, and the one measured on all test images."""

    network: str
    declared: float
    tolerance: float
    found: float
    n_images: int

    @property
    def holds(self) -> bool:
        """Whether the two differ by at most the tolerance."""
        return abs(self.found - self.declared) <= self.tolerance + 1e-9  # floats do not hold decimals

    @property
    def text(self) -> str:
        """Both accuracies in per cent, and the number of images."""
        return (
            f"{self.network}: golden accuracy {100 * self.found:.2f} % on all {self.n_images:,} test images; "
            f"golden_accuracy declares {100 * self.declared:.2f} % ± {100 * self.tolerance:g} points"
        )


def check_accuracies(
    subjects: Iterable[Subject], artifacts: ArtifactStore, reporter: Reporter, *, n_threads: int = 1
) -> list[DeclaredAccuracy]:
    """Measure the accuracy of all given weights with a declared one, show each, and return them.

    The weights run as in the file, unprotected and in no number format, on all test images, however many a trial looks
    at. So nothing is estimated, and the schemes and formats of a campaign share one run, which artifacts keep. After
    all are measured, FaultbenchError if some differ from the declaration by more than their tolerance.
    """
    declaring: dict[str, tuple[Subject, GivenWeights]] = {}
    for subject in subjects:
        if subject.weights is not None and subject.weights.golden_accuracy is not None:
            declaring.setdefault(_name(subject, subject.weights), (subject, subject.weights))
    accuracies: list[DeclaredAccuracy] = []
    wrong: list[str] = []
    for name, (subject, given) in declaring.items():
        accuracy = _load_or_measure(name, subject, given, artifacts, reporter, n_threads)
        accuracies.append(accuracy)
        if accuracy.holds:
            reporter.say(accuracy.text)
        else:
            wrong.append(f"{accuracy.text}; {_advice(given)}")
    if wrong:
        raise FaultbenchError("; and ".join(wrong))
    return accuracies


def _name(subject: Subject, given: GivenWeights) -> str:
    """Return the name of an accuracy's artifact, which all declarations of the same weights share."""
    record: dict[str, Any] = {"law": RESULTS_VERSION, "dataset": subject.dataset.record, "model": subject.model.record}
    return f"accuracy-{digest({**record, 'weights': given.record})}"


def _load_or_measure(
    name: str, subject: Subject, given: GivenWeights, artifacts: ArtifactStore, reporter: Reporter, n_threads: int
) -> DeclaredAccuracy:
    kept = artifacts.load(name)
    if kept is None:
        kept = _measure(subject, given, reporter, n_threads)
        artifacts.save(name, kept)
    assert given.golden_accuracy is not None
    n_images = int(kept.notes["n_images"].replace(",", ""))  # earlier versions kept it as it is printed
    return DeclaredAccuracy(
        _title(subject), given.golden_accuracy, given.tolerance, float(kept.notes["accuracy"]), n_images
    )


def _measure(subject: Subject, given: GivenWeights, reporter: Reporter, n_threads: int) -> Artifact:
    components, images = build_components(subject), dataset_splits(subject.dataset).test
    network = given_network(components.model(), given, images.first(N_COMPARED).pixels)
    title = f"check the accuracy of {_title(subject)}"
    with threads(n_threads), reporter.task(title, 1):
        accuracy = measure_accuracy(network, images, batch=components.batch(network))
    return Artifact({}, {"made_from": title, "accuracy": repr(accuracy), "n_images": str(len(images))})


def _advice(given: GivenWeights) -> str:
    cause = "by what they expect pixels to be normalised" if given.mean else "whether they expect normalised pixels"
    return f"look whether {given.path} holds the weights meant, and {cause}"


def _title(subject: Subject) -> str:
    return f"{subject.model.label} on {subject.dataset.label}"
