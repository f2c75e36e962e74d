"""From a campaign's subject to the real thing: a trained, stored, protected network, ready for trials."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from joblib import cpu_count
from torch import nn

from faultbench.campaign import Choice, Subject
from faultbench.campaign.keys import LAW, canonical, digest
from faultbench.campaign.training import Training
from faultbench.datasets import Splits
from faultbench.networks.network import Network, trace
from faultbench.networks.training import RECIPES, Recipe, train_classifier
from faultbench.plugins.modules import PluginModule
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.components import Parts, build, parts
from faultbench.runner.subjects.fitting_checkpoint import SiteCheckpoint, fitted_artifact, fitted_of
from faultbench.runner.subjects.given_network import given_network
from faultbench.runner.subjects.training_checkpoint import KeptEpochs
from faultbench.schemes.fitting.profile import bounds_to_maxima
from faultbench.schemes.scheme import Fitted, Fitting, protected, store
from faultbench.system.devices import Device, compute_exactly
from faultbench.system.progress.reporter import Reporter
from faultbench.system.random_streams import seed_of
from faultbench.system.threads import threads
from faultbench.system.torch_streams import torch_generator
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging

PARALLEL_MACS = 1e9
"""Multiply-accumulates of a training batch from which on training uses every core."""


class Bench:
    """Trains, fits and sets up the subjects of a campaign, keeping what it made as artifacts.

    What is found in the store is taken from there; everything else is made, and made again equal if the same
    machine makes it again. Networks that it gives are on the processor; it trains, fits and evaluates on its device.
    """

    def __init__(
        self, artifacts: ArtifactStore, reporter: Reporter, *, memory_bytes: int = 0, device: Device = "cpu"
    ) -> None:
        compute_exactly(device)
        self._artifacts, self.device = artifacts, device
        self._reporter = reporter
        self._memory_bytes = memory_bytes
        self._stored: tuple[str, Network] | None = None

    def network(self, subject: Subject) -> Network:
        """The unprotected network of a subject, trained or loaded, its parameters as memory holds them.

        The last one is kept and given again: whoever changes it takes a copy.
        """
        key = digest({**_weights_record(subject), "format": subject.format.record})
        if self._stored is None or self._stored[0] != key:
            self._stored = (key, self._made(parts(subject)))
        return self._stored[1]

    def fitted(self, subject: Subject) -> tuple[Fitted, float]:
        """The bounds of a subject and the seconds that fitting them took."""
        name = bounds_name(subject)
        artifact = self._artifacts.load(name) or self._fit(subject, name)
        return fitted_of(artifact), float(artifact.notes["fit_s"])

    def protected(self, subject: Subject) -> Network:
        """The protected network of a subject, bounds included as memory holds them."""
        built = parts(subject)
        network = protected(self.network(subject), built.scheme, self.fitted(subject)[0].bounds)
        store(network, built.codec, statistics="norm_statistics" in built.fault.targets)
        return network

    def evaluation(self, subject: Subject, bers: Sequence[float]) -> Evaluation:
        """The subject with its golden run done, ready for trials at these rates."""
        built, network = parts(subject), self.protected(subject).to(self.device)
        images = splits(subject.dataset).test.first(subject.images)
        space = built.fault_space(network)
        sample = [fault_map for ber in bers for fault_map in built.sample(space, ber)]
        return Evaluation(
            network,
            space,
            images.to(self.device),
            batch=built.batch(network, self.device),
            staging=Staging(self._memory_bytes, sample),
        )

    def _made(self, built: Parts) -> Network:
        model, given = built.model(), built.subject.weights
        if given is not None:
            network = given_network(model, given, built.dataset.shape)
        else:
            model.load_state_dict(dict(self._trained(built, model).tensors))
            network = trace(model, built.dataset.shape)
        store(network, built.codec)
        return network

    def _trained(self, built: Parts, model: nn.Module) -> Artifact:
        name = weights_name(built.subject)
        return self._artifacts.load(name) or self._train(built, model, name)

    def _train(self, built: Parts, model: nn.Module, name: str) -> Artifact:
        subject, recipe = built.subject, recipe_of(built.subject.training)
        generator = torch_generator(subject.seed, name)
        title = f"train {subject.model.label} on {subject.dataset.label}"
        train = splits(subject.dataset).train.to(self.device)
        n_threads = _n_threads(built.untrained, built, recipe.batch)
        epochs = KeptEpochs(self._artifacts, f"partial-{name}", title)
        with threads(n_threads), self._reporter.task(title, recipe.n_epochs, unit="epochs") as task:
            train_classifier(model, train, built.dataset.augment, recipe, generator, task, epochs)
        artifact = Artifact(model.cpu().state_dict(), {"made_from": title})
        self._artifacts.save(name, artifact)
        epochs.clear()
        return artifact

    def _fit(self, subject: Subject, name: str) -> Artifact:
        built, data, network = parts(subject), splits(subject.dataset), self.network(subject)
        title = f"fit {subject.scheme.label} on {subject.model.label}, {subject.dataset.label}, {subject.format.label}"
        checkpoint = SiteCheckpoint(self._artifacts, f"partial-{name}", title)
        fitting = Fitting(
            network=network.on(self.device),
            train=data.train.to(self.device),
            calibration=data.calibration.to(self.device),
            augment=built.dataset.augment,
            codec=built.codec,
            batch=built.batch(network, self.device),
            schedule=subject.training.schedule,
            tf32=subject.training.tf32,
            seed=seed_of(subject.seed, name),
            memory_bytes=self._memory_bytes,
            title=title,
            reporter=self._reporter,
            checkpoint=checkpoint,
        )
        with threads(_n_threads(network, built, recipe_of(subject.training).batch)):
            fitted = built.scheme.fit(fitting)
            fit_s = checkpoint.fit_s
            ratio = bounds_to_maxima(fitting, built.scheme, fitted.bounds)
        artifact = fitted_artifact(replace(fitted, bounds_to_maxima=ratio), title, fit_s)
        self._artifacts.save(name, artifact)
        checkpoint.clear()
        return artifact


def recipe_of(training: Training) -> Recipe:
    """How a campaign has networks trained."""
    recipe = RECIPES[training.schedule]
    return replace(
        recipe,
        n_epochs=training.epochs or recipe.n_epochs,
        batch=training.batch or recipe.batch,
        learning_rate=training.learning_rate or recipe.learning_rate,
        tf32=training.tf32,
    )


def splits(dataset: Choice) -> Splits:
    """The images of a data set, read once a process."""
    return _splits(dataset.name, canonical(dataset.options), dataset.origin, dataset.folder)


@lru_cache(maxsize=4)
def _splits(name: str, options: str, origin: PluginModule | None, folder: Path) -> Splits:
    return build(Choice("dataset", name, json.loads(options), name, origin, folder)).load()  # type: ignore[no-any-return]  # plug-ins are untyped


def _n_threads(network: Network, built: Parts, batch: int) -> int:
    """One thread for a small network, whose work does not pay for waking a second; every core for the others."""
    return 1 if network.macs(built.dataset.shape) * batch < PARALLEL_MACS else cpu_count()


def _weights_record(subject: Subject) -> dict[str, Any]:
    return {
        "law": LAW,
        "dataset": subject.dataset.record,
        "model": subject.model.record,
        "seed": subject.seed,
        **subject.training.record,
        "weights": None if subject.weights is None else subject.weights.record,
    }


def weights_name(subject: Subject) -> str:
    """What the artifact of a subject's trained network is called."""
    return f"weights-{digest(_weights_record(subject))}"


def bounds_name(subject: Subject) -> str:
    """What the artifact of a subject's fitted bounds is called."""
    parts_of_it = {"scheme": subject.scheme.record, "format": subject.format.record, "batch": subject.batch}
    return f"bounds-{digest({**_weights_record(subject), **parts_of_it})}"
