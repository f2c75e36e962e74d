"""The plug-ins that a subject names, put together: what can be known before anything is loaded, trained or fitted."""

import fnmatch
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from faultbench.campaign import Campaign, Choice, Subject
from faultbench.datasets import Dataset
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import FaultModel
from faultbench.memory.formats.codec import Codec
from faultbench.networks.memory_layout import REORDERS
from faultbench.networks.network import Network, trace
from faultbench.networks.weights.weight_files import load_weights
from faultbench.plugins import registry
from faultbench.plugins.registry import suggest
from faultbench.runner.subjects.given_network import require_channels
from faultbench.schemes.scheme import Scheme, equal_bounds, protected
from faultbench.system.devices import Device
from faultbench.system.errors import FaultbenchError
from faultbench.trials import images_per_trial as pilot
from faultbench.trials.evaluation import fault_space

BATCH = 64
LARGE_BATCH = 256
"""Images a forward pass: activations of a small batch stay in the caches; large weights pay for more images."""

CARD_MACS = 2e11
CARD_BATCHES = (64, 2048)
"""Multiply-accumulates of a forward pass that keep a card busy, and the fewest and most images of one."""

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

    def batch(self, network: Network, device: Device = "cpu") -> int:
        """Images a forward pass; where the campaign leaves it open, a rule that holds on every machine's device."""
        if self.subject.batch is not None:
            return self.subject.batch
        macs = network.macs(self.dataset.shape)
        if device == "cuda":
            fewest, most = CARD_BATCHES
            return min(max(1 << round(math.log2(CARD_MACS / macs)), fewest), most)
        return LARGE_BATCH if _n_weights(network) > HEAVY * macs else BATCH

    def sample(self, space: FaultSpace, ber: float) -> list[FaultMap]:
        """Fault maps at a rate from which a run learns where first faults will be."""
        numbers = range(FIRST_SAMPLED, FIRST_SAMPLED + N_SAMPLED)
        return [self.fault.draw(space, ber=ber, seed=self.subject.seed, trial=number) for number in numbers]

    @property
    def trial_in_images(self) -> float:
        """What a trial costs beside the images that it looks at, in images."""
        network = self.untrained
        nodes = network.graph.graph.nodes
        n_steps = sum(node.op.startswith("call_") and REORDERS not in node.meta for node in nodes)
        macs = network.macs(self.dataset.shape)
        return pilot.trial_in_images(n_steps=n_steps, macs=macs, n_weights=_n_weights(network))

    @property
    def n_bits(self) -> int:
        """Bits of the fault space that faults can hit."""
        return self.fault_space(self.untrained).n_target_bits

    @property
    def n_images(self) -> int:
        """Test images that accuracies are about."""
        return self.dataset.n_test if self.subject.images is None else self.subject.images


def _n_weights(network: Network) -> int:
    return sum(item.tensor.numel() for item in network.parameters() if item.kind == "weights")


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
    # Faster for most layers (docs/benchmarks), and exact for single channels too; tracing lays out the others anew.
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
            "derive it from faultbench.memory.faults.fault_model.Targeted"
        )
    if built.n_images > built.dataset.n_test:
        raise FaultbenchError(
            f"images: {built.n_images} is more than the {built.dataset.n_test} test images of {subject.dataset.name}; "
            f'give at most {built.dataset.n_test}, or "all"'
        )
    if isinstance(subject.per_trial, int) and subject.per_trial > built.n_images:
        raise FaultbenchError(
            f"images: per_trial: {subject.per_trial} is more than the {built.n_images} test images that a trial "
            f"of {subject.dataset.name} can look at; give at most {built.n_images}"
        )
    require_channels(subject.weights, built.dataset.shape, f"{subject.model.label} on {subject.dataset.label}")
    return built


def check(campaign: Campaign) -> dict[str, Parts]:
    """Find all that can be wrong with a campaign before an image is loaded; subject key → its parts.

    Every network is built and traced, every given weights file read.
    """
    found = {subject.key: parts(subject) for subject in campaign.subjects}
    for built in found.values():
        _ = built.untrained
        if (given := built.subject.weights) is not None:
            load_weights(built.model(), given.path, given.keys)
    return found
