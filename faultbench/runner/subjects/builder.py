"""Builder of subjects: it trains, fits and protects a campaign's networks and makes them ready for trials."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from torch import nn

from faultbench.campaign import Choice, Subject
from faultbench.campaign.keys import canonical_text
from faultbench.campaign.training import Training
from faultbench.datasets import Splits
from faultbench.datasets.plugin_checks import load_checked, require_repeatable
from faultbench.memory.faults.fault_model import kinds_hit
from faultbench.networks.agreement.sample_images import N_COMPARED
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import store_parameters
from faultbench.networks.training import RECIPES, TrainingRecipe, train_classifier, try_training
from faultbench.plugins.modules import PluginModule
from faultbench.results.content_digests import BOUNDS, BUFFERS, IMAGES, WEIGHTS, Digests
from faultbench.runner.subjects.artifacts import Artifact, ArtifactStore
from faultbench.runner.subjects.components import Components, build_components
from faultbench.runner.subjects.digests import images_digest, tensors_digest
from faultbench.runner.subjects.fitting_checkpoint import FittingCheckpoint, fitted_artifact, read_fitted
from faultbench.runner.subjects.given_network import given_network
from faultbench.runner.subjects.plugin_building import build, source_of, trace_model
from faultbench.runner.subjects.subject_keys import bounds_name, images_key, network_key, weights_name
from faultbench.runner.subjects.training_checkpoint import TrainingCheckpoint
from faultbench.schemes.fitting.bound_checks import fit_and_check
from faultbench.schemes.fitting.profile import bounds_to_maxima
from faultbench.schemes.scheme import Fitted, Fitting, protect_copy
from faultbench.system.devices import Device, compute_exactly
from faultbench.system.progress.reporter import Reporter
from faultbench.system.random_streams import seed_of
from faultbench.system.threads import most_threads, threads
from faultbench.system.torch_streams import torch_generator
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging

PARALLEL_MACS = 1e9
"""Multiply-accumulates of a training batch from which on training uses every core."""


class SubjectBuilder:
    """Builder of a campaign's subjects: it trains, fits and sets them up, and keeps weights and bounds as artifacts.

    Artifacts in the store are used; everything else is made, and equal each time that the same machine makes it.
    Returned networks are on the processor; training, fitting and evaluation run on the builder's device. Training and
    fitting use at most n_threads threads; None leaves it to the cores and OMP_NUM_THREADS.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        reporter: Reporter,
        *,
        memory_bytes: int = 0,
        device: Device = "cpu",
        n_threads: int | None = None,
    ) -> None:
        compute_exactly(device)
        self._artifacts, self.device = artifacts, device
        self._reporter = reporter
        self._memory_bytes, self._most_threads = memory_bytes, n_threads
        self._stored: tuple[str, Network] | None = None

    def network(self, subject: Subject) -> Network:
        """Return the unprotected network of a subject, trained or loaded, its parameters as memory holds them.

        The last one is kept and returned again, so a caller that changes it must copy it.
        """
        key = network_key(subject)
        if self._stored is None or self._stored[0] != key:
            self._stored = (key, self._build_network(build_components(subject)))
        return self._stored[1]

    def try_training(self, subject: Subject) -> None:
        """Raise FaultbenchError if a network that is to be trained fails on its first images; nothing is trained."""
        if subject.weights is None and self._artifacts.load(weights_name(subject)) is None:
            components, title = build_components(subject), f"train {subject.model.label} on {subject.dataset.label}"
            train = dataset_splits(subject.dataset).train
            try_training(components.model(), train, components.augment, recipe_of(subject.training), title)

    def fit(self, subject: Subject) -> tuple[Fitted, float]:
        """Return the bounds of a subject and the seconds that fitting them took; fit them if no artifact has them."""
        name = bounds_name(subject)
        artifact = self._artifacts.load(name) or self._fit(subject, name)
        return read_fitted(artifact), float(artifact.notes["fit_s"])

    def protect(self, subject: Subject) -> Network:
        """Return the protected network of a subject, parameters and bounds as memory holds them."""
        components = build_components(subject)
        network = protect_copy(self.network(subject), components.scheme, self.fit(subject)[0].bounds)
        store_parameters(network, components.codec, kinds=kinds_hit(components.fault.targets))
        return network

    def evaluation(self, subject: Subject, bers: Sequence[float]) -> Evaluation:
        """Return the subject's evaluation, its golden run done, ready for trials at these rates."""
        components, network = build_components(subject), self.protect(subject).to(self.device)
        images = dataset_splits(subject.dataset).test.first(subject.images)
        space = components.fault_space(network)
        sample = [fault_map for ber in bers for fault_map in components.sample(space, ber)]
        evaluation = Evaluation(
            network,
            space,
            images.to(self.device),
            batch=components.batch(network, self.device),
            staging=Staging(self._memory_bytes, sample),
        )
        evaluation.require_repeatable(f"{subject.model.label} on {subject.dataset.label}")
        return evaluation

    def _build_network(self, components: Components) -> Network:
        model, given = components.model(), components.subject.weights
        pixels = dataset_splits(components.subject.dataset).test.first(N_COMPARED).pixels
        if given is not None:
            network = given_network(model, given, pixels)
        else:
            model.load_state_dict(dict(self._load_or_train(components, model).tensors))
            network = trace_model(components.subject, model, pixels)
        store_parameters(network, components.codec)
        return network

    def _load_or_train(self, components: Components, model: nn.Module) -> Artifact:
        name = weights_name(components.subject)
        return self._artifacts.load(name) or self._train(components, model, name)

    def _train(self, components: Components, model: nn.Module, name: str) -> Artifact:
        subject, recipe = components.subject, recipe_of(components.subject.training)
        generator = torch_generator(subject.seed, name)
        title = f"train {subject.model.label} on {subject.dataset.label}"
        train = dataset_splits(subject.dataset).train.to(self.device)
        n_threads = self._n_threads(components.untrained_network, components, recipe.batch)
        epochs = TrainingCheckpoint(self._artifacts, f"partial-{name}", title)
        with threads(n_threads), self._reporter.task(title, recipe.n_epochs, unit="epochs") as task:
            train_classifier(model, train, components.augment, recipe, generator, task, epochs, title)
        artifact = Artifact(model.cpu().state_dict(), {"made_from": title})
        self._artifacts.save(name, artifact)
        epochs.clear()
        return artifact

    def _fit(self, subject: Subject, name: str) -> Artifact:
        components, data, network = build_components(subject), dataset_splits(subject.dataset), self.network(subject)
        title = f"fit {subject.scheme.label} on {subject.model.label}, {subject.dataset.label}, {subject.format.label}"
        checkpoint = FittingCheckpoint(self._artifacts, f"partial-{name}", title)
        epochs = TrainingCheckpoint(self._artifacts, f"partial-epochs-{name}", title)
        fitting = Fitting(
            network=network.on(self.device),
            train=data.train.to(self.device),
            calibration=data.calibration.to(self.device),
            augment=components.augment,
            codec=components.codec,
            batch=components.batch(network, self.device),
            schedule=subject.training.schedule,
            tf32=subject.training.tf32,
            seed=seed_of(subject.seed, name),
            memory_bytes=self._memory_bytes,
            title=title,
            reporter=self._reporter,
            checkpoint=checkpoint,
            epochs=epochs,
        )
        with threads(self._n_threads(network, components, recipe_of(subject.training).batch)):
            fitted = fit_and_check(components.scheme, fitting, source_of(subject.scheme))
            fit_s = checkpoint.fit_s + epochs.earlier_s
            ratio = bounds_to_maxima(fitting, components.scheme, fitted.bounds)
        artifact = fitted_artifact(replace(fitted, bounds_to_maxima=ratio), title, fit_s)
        self._artifacts.save(name, artifact)
        checkpoint.clear()
        epochs.clear()
        return artifact

    def _n_threads(self, network: Network, components: Components, batch: int) -> int:
        """Return 1 for a small network, whose work does not pay for a second thread, else the number of threads."""
        is_small = network.macs(components.dataset.shape) * batch < PARALLEL_MACS
        return 1 if is_small else most_threads(self._most_threads)


def recipe_of(training: Training) -> TrainingRecipe:
    """Return the recipe by which a campaign trains networks."""
    recipe = RECIPES[training.schedule]
    return replace(
        recipe,
        n_epochs=training.epochs or recipe.n_epochs,
        batch=training.batch or recipe.batch,
        learning_rate=training.learning_rate or recipe.learning_rate,
        tf32=training.tf32,
    )


def dataset_splits(dataset: Choice) -> Splits:
    """Return the images of a data set, read once per process and data folder."""
    place = os.environ.get("FAULTBENCH_DATA", "")
    return _splits(dataset.name, canonical_text(dataset.options), dataset.origin, dataset.folder, place)


@lru_cache(maxsize=4)
def _splits(name: str, options: str, origin: PluginModule | None, folder: Path, _place: str) -> Splits:
    return _load(Choice("dataset", name, json.loads(options), name, origin, folder))


def _load(dataset: Choice) -> Splits:
    return load_checked(build(dataset), dataset.name, source_of(dataset))


def require_repeatable_data(dataset: Choice) -> None:
    """Raise FaultbenchError if a second load of a lab's data set differs; data sets of faultbench have tests."""
    if dataset.origin is not None:
        require_repeatable(dataset_splits(dataset), _load(dataset), dataset.name)


def digests(
    builder: SubjectBuilder, subjects: Iterable[Subject], *, with_images: bool = True, known: Digests | None = None
) -> Digests:
    """Return the SHA-256 of test images, stored weights, buffers and bounds, by kind and key.

    Digests in known are not computed again. Missing networks and bounds are trained and fitted.
    """
    by_kind: Digests = {kind: dict((known or {}).get(kind, {})) for kind in (IMAGES, WEIGHTS, BUFFERS, BOUNDS)}
    for subject in subjects:
        images, network, bounds = images_key(subject), network_key(subject), bounds_name(subject)
        if with_images and images not in by_kind[IMAGES]:
            by_kind[IMAGES][images] = images_digest(dataset_splits(subject.dataset).test)
        if network not in by_kind[WEIGHTS]:
            stored = builder.network(subject).graph
            by_kind[WEIGHTS][network] = tensors_digest(dict(stored.named_parameters()))
            by_kind[BUFFERS][network] = tensors_digest(dict(stored.named_buffers()))
        if bounds not in by_kind[BOUNDS]:
            by_kind[BOUNDS][bounds] = tensors_digest(builder.fit(subject)[0].bounds)
    return by_kind
