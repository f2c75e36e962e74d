"""Given weights must be as accurate as the campaign declares: what was loaded wrongly is an error and no result."""

from typing import Any

from joblib import cpu_count

from faultbench.campaign import Subject
from faultbench.campaign.given_weights import GivenWeights
from faultbench.campaign.keys import LAW, digest
from faultbench.networks.training import accuracy
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.builder import splits
from faultbench.runner.subjects.components import parts
from faultbench.runner.subjects.given_network import given_network
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Reporter
from faultbench.system.threads import threads


def check_accuracy(subject: Subject, artifacts: ArtifactStore, reporter: Reporter) -> None:
    """FaultbenchError when given weights are farther from the declared accuracy than its tolerance.

    They are run as the file has them, unprotected and in no number format, on all test images, however many a trial
    looks at: nothing is estimated, and the schemes and formats of a campaign share one run, which artifacts keep.
    """
    given = subject.weights
    if given is None or given.golden_accuracy is None:
        return
    record: dict[str, Any] = {"law": LAW, "dataset": subject.dataset.record, "model": subject.model.record}
    name = f"accuracy-{digest({**record, 'weights': given.record})}"
    found = artifacts.load(name)
    if found is None:
        found = _measured(subject, given, reporter)
        artifacts.save(name, found)
    _require(given, float(found.notes["accuracy"]), found.notes["n_images"], _title(subject))


def _measured(subject: Subject, given: GivenWeights, reporter: Reporter) -> Artifact:
    built, images = parts(subject), splits(subject.dataset).test
    network = given_network(built.model(), given, built.dataset.shape)
    title = f"check the accuracy of {_title(subject)}"
    with threads(cpu_count()), reporter.task(title, 1):
        found = accuracy(network, images, batch=built.batch(network))
    return Artifact({}, {"made_from": title, "accuracy": repr(found), "n_images": f"{len(images):,}"})


def _require(given: GivenWeights, found: float, n_images: str, title: str) -> None:
    declared, points = given.golden_accuracy, 100 * given.tolerance
    # Floats do not hold decimals: the last digits of a difference say nothing.
    if declared is None or abs(found - declared) <= given.tolerance + 1e-9:
        return
    advice = "by what they expect pixels to be normalised" if given.mean else "whether they expect normalised pixels"
    raise FaultbenchError(
        f"{title}: golden accuracy {100 * found:.2f} % on all {n_images} test images, but golden_accuracy declares "
        f"{100 * declared:.2f} % ± {points:g} points; look whether {given.path} holds the weights meant, and {advice}"
    )


def _title(subject: Subject) -> str:
    return f"{subject.model.label} on {subject.dataset.label}"
