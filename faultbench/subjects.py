"""From a campaign's subject to the real thing: a trained, stored, protected network, ready for trials."""

import fnmatch
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count
from torch import nn

from faultbench import registry
from faultbench.artifacts import Artifact, ArtifactStore
from faultbench.campaign import Choice, Subject
from faultbench.campaign.keys import LAW, canonical, digest
from faultbench.checkpoints import SiteCheckpoint, fitted_artifact, fitted_of
from faultbench.datasets import Dataset, Splits
from faultbench.errors import FaultbenchError
from faultbench.faults.fault_map import FaultMap
from faultbench.faults.space import FaultSpace
from faultbench.faults.targets import FaultModel
from faultbench.formats.codec import Codec
from faultbench.given import given_network, require_channels
from faultbench.network import Network, trace
from faultbench.plugin_modules import PluginModule
from faultbench.progress import Reporter
from faultbench.registry import suggest
from faultbench.schemes.profile import bounds_to_maxima
from faultbench.schemes.scheme import Fitted, Fitting, Scheme, equal_bounds, protected, store
from faultbench.staging.golden import Staging
from faultbench.streams import seed_of
from faultbench.threads import threads
from faultbench.torch_streams import torch_generator
from faultbench.training import RECIPES, train_classifier
from faultbench.trial import Evaluation, fault_space

PARALLEL_MACS = 1e9
"""Multiply-accumulates of a training batch from which on training uses every core."""

BATCH = 64
LARGE_BATCH = 256
"""Images a forward pass: activations of a small batch stay in the caches; large weights pay for more images."""

HEAVY = 0.1
"""Weights for each multiply-accumulate of an image from which on a network takes the large batch."""

N_SAMPLED = 16
"""Fault maps at each BER from which a run learns where its first faults will be."""

FIRST_SAMPLED = 10**9
"""Their trial numbers begin beyond those of any campaign: a trial's own map is drawn where the trial runs."""


@dataclass(frozen=True)
class Parts:
    """The plug-ins that a subject names, built but with nothing loaded, trained or fitted."""

    subject: Subject
    dataset: Dataset
    codec: Codec
    scheme: Scheme
    fault: FaultModel

    def model(self) -> nn.Module:
        """The architecture with arbitrary weights; FaultbenchError if it does not take the data set's images."""
        return _model(self.subject.model, self.dataset)

    @property
    def untrained(self) -> Network:
        """The network with arbitrary weights and bounds of 0 at every bounded site: what can be counted is right."""
        network = _untrained(self.subject.dataset, self.subject.model)
        return protected(network, self.scheme, equal_bounds(network, self.scheme, 0.0))

    def fault_space(self, network: Network) -> FaultSpace:
        """The memory of a network that the subject's fault model targets."""
        fault, n_bits = self.fault, self.codec.bits
        if fault.bits is not None and not fault.bits[0] <= fault.bits[1] < n_bits:
            raise FaultbenchError(
                f"bits: {list(fault.bits)} of {self.subject.format.name} words, which have bits 0 to {n_bits - 1}; "
                "give the first and the last one to hit"
            )
        owners = matching(network, fault.layers)
        space = fault_space(network, self.codec, fault.targets, owners=owners, bits=fault.bits)
        if not space.n_target_bits:
            wanted = f"targets {list(fault.targets)} in layers {list(fault.layers)}"
            raise FaultbenchError(f"{self.subject.model.label} keeps nothing of {wanted}")
        return space

    def batch(self, network: Network) -> int:
        """Images a forward pass; where the campaign leaves it open, a rule that holds on every machine."""
        if self.subject.batch is not None:
            return self.subject.batch
        n_weights = sum(item.tensor.numel() for item in network.parameters() if item.kind == "weights")
        return LARGE_BATCH if n_weights > HEAVY * network.macs(self.dataset.shape) else BATCH

    def sample(self, space: FaultSpace, ber: float) -> list[FaultMap]:
        """Fault maps at a rate from which a run learns where first faults will be."""
        numbers = range(FIRST_SAMPLED, FIRST_SAMPLED + N_SAMPLED)
        return [self.fault.draw(space, ber=ber, seed=self.subject.seed, trial=number) for number in numbers]

    @property
    def n_bits(self) -> int:
        """Bits of the fault space that faults can hit."""
        return self.fault_space(self.untrained).n_target_bits

    @property
    def n_images(self) -> int:
        """Test images that a trial looks at."""
        return self.dataset.n_test if self.subject.images is None else self.subject.images


def matching(network: Network, patterns: Iterable[str]) -> set[str]:
    """Names of layers and sites that the shell patterns match; FaultbenchError for a pattern that matches none."""
    names = list(dict.fromkeys(parameter.owner for parameter in network.parameters()))
    names += [site.name for site in network.sites if site.name not in names]
    found = {pattern: fnmatch.filter(names, pattern) for pattern in patterns}
    for pattern, matches in found.items():
        if not matches:
            raise FaultbenchError(f"layers: {suggest(pattern, dict.fromkeys(names))} matches no layer or site")
    return {name for matches in found.values() for name in matches}


def build(choice: Choice, **supplied: Any) -> Any:
    """The plug-in that a choice names, called with its options and with what else it takes."""
    modules = () if choice.origin is None else (choice.origin,)
    return registry.build(choice.kind, choice.name, choice.options, modules, choice.folder, **supplied)


def _model(model: Choice, dataset: Dataset) -> nn.Module:
    # What training does not initialise, as a transformer's embeddings, must be the same in every process too.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built: nn.Module = build(model, shape=dataset.shape, n_classes=dataset.n_classes)
    # Channels last is faster for every network measured (docs/benchmarks), and exact for single channels too.
    return built.to(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def _untrained(dataset: Choice, model: Choice) -> Network:
    # One is kept: the schemes of a network come one after another, and initialising takes most of the time.
    images: Dataset = build(dataset)
    network = _model(model, images)
    try:
        return trace(network, images.shape)
    except FaultbenchError as error:  # it names the network's class, which a campaign's file does not
        raise FaultbenchError(f"{model.label} on {dataset.label}: {error}") from error


def parts(subject: Subject) -> Parts:
    """A subject's plug-ins; FaultbenchError when they do not go together."""
    built = Parts(subject, *(build(c) for c in (subject.dataset, subject.format, subject.scheme, subject.fault)))
    if not isinstance(built.fault, FaultModel):
        raise FaultbenchError(
            f"fault model {subject.fault.name!r} says not what it hits: it needs targets, layers, bits and draw; "
            "derive it from faultbench.faults.targets.Targeted"
        )
    if built.n_images > built.dataset.n_test:
        raise FaultbenchError(
            f"images: {built.n_images} is more than the {built.dataset.n_test} test images of {subject.dataset.name}; "
            f'give at most {built.dataset.n_test}, or "all"'
        )
    require_channels(subject.weights, built.dataset.shape, f"{subject.model.label} on {subject.dataset.label}")
    return built


class Bench:
    """Trains, fits and sets up the subjects of a campaign, keeping what it made as artifacts.

    What is found in the store is taken from there; everything else is made, and made again equal if the same
    machine makes it again.
    """

    def __init__(self, artifacts: ArtifactStore, reporter: Reporter, *, memory_bytes: int = 0) -> None:
        self._artifacts = artifacts
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
        name = f"bounds-{_bounds_key(subject)}"
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
        built, network = parts(subject), self.protected(subject)
        images = splits(subject.dataset).test.first(subject.images)
        space = built.fault_space(network)
        sample = [fault_map for ber in bers for fault_map in built.sample(space, ber)]
        return Evaluation(
            network, space, images, batch=built.batch(network), staging=Staging(self._memory_bytes, sample)
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
        name = f"weights-{_weights_key(built.subject)}"
        return self._artifacts.load(name) or self._train(built, model, name)

    def _train(self, built: Parts, model: nn.Module, name: str) -> Artifact:
        subject, recipe = built.subject, RECIPES[built.subject.schedule]
        generator = torch_generator(subject.seed, name)
        title = f"train {subject.model.label} on {subject.dataset.label}"
        train = splits(subject.dataset).train
        n_threads = _n_threads(built.untrained, built, recipe.batch)
        with threads(n_threads), self._reporter.task(title, recipe.n_epochs, unit="epochs") as task:
            train_classifier(model, train, built.dataset.augment, recipe, generator, task)
        artifact = Artifact(model.state_dict(), {"made_from": title})
        self._artifacts.save(name, artifact)
        return artifact

    def _fit(self, subject: Subject, name: str) -> Artifact:
        built, data, network = parts(subject), splits(subject.dataset), self.network(subject)
        title = f"fit {subject.scheme.label} on {subject.model.label}, {subject.dataset.label}, {subject.format.label}"
        checkpoint = SiteCheckpoint(self._artifacts, f"partial-{name}", title)
        fitting = Fitting(
            network=network,
            train=data.train,
            calibration=data.calibration,
            augment=built.dataset.augment,
            codec=built.codec,
            batch=built.batch(network),
            schedule=subject.schedule,  # type: ignore[arg-type]  # checked when the campaign was read
            seed=seed_of(subject.seed, name),
            memory_bytes=self._memory_bytes,
            title=title,
            reporter=self._reporter,
            checkpoint=checkpoint,
        )
        with threads(_n_threads(network, built, RECIPES[subject.schedule].batch)):
            fitted = built.scheme.fit(fitting)
            fit_s = checkpoint.fit_s
            ratio = bounds_to_maxima(fitting, built.scheme, fitted.bounds)
        artifact = fitted_artifact(replace(fitted, bounds_to_maxima=ratio), title, fit_s)
        self._artifacts.save(name, artifact)
        checkpoint.clear()
        return artifact


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
        "schedule": subject.schedule,
        "weights": None if subject.weights is None else subject.weights.record,
    }


def _weights_key(subject: Subject) -> str:
    return digest(_weights_record(subject))


def _bounds_key(subject: Subject) -> str:
    parts_of_it = {"scheme": subject.scheme.record, "format": subject.format.record, "batch": subject.batch}
    return digest({**_weights_record(subject), **parts_of_it})
