"""Components of a subject: its plug-ins put together, before anything is loaded, trained or fitted."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from faultbench.campaign import Campaign, Subject
from faultbench.datasets import Augment, Dataset
from faultbench.datasets.plugin_checks import checked_augment, require_declared
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace
from faultbench.memory.faults.fault_model import FaultModel, kinds_hit
from faultbench.memory.formats.codec import Codec
from faultbench.networks.memory_layout import REORDERS
from faultbench.networks.network import Network
from faultbench.networks.stored.memory_account import MemoryAccount, account_memory
from faultbench.networks.stored.memory_reads import unfelt_tensors
from faultbench.networks.stored.network_memory import fault_space, match_names
from faultbench.results.folder import MemoryEntry
from faultbench.runner.subjects.batch_size import images_per_pass, n_weights
from faultbench.runner.subjects.given_network import load_given_weights, require_channels
from faultbench.runner.subjects.plugin_building import build, build_model, source_of, untrained_network
from faultbench.schemes.scheme import Scheme, equal_bounds, protect_copy
from faultbench.system.devices import Device
from faultbench.system.errors import FaultbenchError
from faultbench.system.torch_streams import torch_generator
from faultbench.trials import images_per_trial as pilot

N_SAMPLED = 16
"""Number of fault maps per BER from which a run estimates where first faults will be."""

FIRST_SAMPLED = 10**9
"""Trial number of the first sample map. No campaign uses such numbers, so no sample repeats a trial's own map."""

DEFAULT_LABELS = ("none", "bernoulli")
"""Labels of guards and fault models that a subject's name leaves out."""

N_NAMED = 3
"""Most tensors that an error names."""


@dataclass(frozen=True)
class Components:
    """Plug-ins that a subject names, built, but with nothing loaded, trained or fitted."""

    subject: Subject
    dataset: Dataset
    codec: Codec
    scheme: Scheme
    fault: FaultModel

    def model(self) -> nn.Module:
        """Return the architecture with arbitrary weights; FaultbenchError if it does not take the data set's images."""
        return build_model(self.subject.model, self.dataset)

    @property
    def augment(self) -> Augment:
        """Random variation of training batches; every batch is checked."""
        return checked_augment(self.dataset, self.subject.dataset.name, source_of(self.subject.dataset))

    @property
    def untrained_network(self) -> Network:
        """Network with arbitrary weights and bounds of 0 at every bounded site; its counts are already right."""
        network = untrained_network(self.subject.dataset, self.subject.model)
        return protect_copy(network, self.scheme, equal_bounds(network, self.scheme, 0.0))

    def fault_space(self, network: Network) -> FaultSpace:
        """Return the memory of a network that the subject's fault model targets."""
        fault, n_bits = self.fault, self.codec.bits
        if fault.bits is not None and not fault.bits[0] <= fault.bits[1] < n_bits:
            raise FaultbenchError(
                f"bits: {list(fault.bits)} of {self.subject.format.name} words, which have bits 0 to {n_bits - 1}; "
                "give the first and the last one to hit"
            )
        owners, label = match_names(network, fault.layers), self.subject.model.label
        try:
            space = fault_space(network, self.codec, kinds_hit(fault.targets), owners=owners, bits=fault.bits)
        except ValueError as error:
            raise FaultbenchError(f"{label}: {error}; choose other targets or layers") from error
        if not space.n_target_bits:
            wanted = f"targets {list(fault.targets)} in layers {list(fault.layers)}"
            raise FaultbenchError(f"{label} keeps nothing of {wanted}")
        self._require_felt(network, space)
        return space

    def _require_felt(self, network: Network, space: FaultSpace) -> None:
        """Raise FaultbenchError unless a pass reads each stored tensor where faults are put, and does not change it."""
        images = torch.rand(1, *self.dataset.shape, generator=torch_generator(0, "felt")).to(network.device)
        failed = unfelt_tensors(network, images, {item.name: item.tensor for item in space.stored})
        if failed:
            named = "; ".join(f"{name} {what}" for name, what in [*failed.items()][:N_NAMED])
            more = f"; and {len(failed) - N_NAMED} more" if len(failed) > N_NAMED else ""
            raise FaultbenchError(
                f"{self.subject.model.label}: faults would do nothing in memory that the network does not read as it "
                f"is: {named}{more}; change the network, or leave these out of targets and layers"
            )

    def batch(self, network: Network, device: Device = "cpu") -> int:
        """Return the images per forward pass: the campaign's number, or one by network and kind of device."""
        if self.subject.batch is not None:
            return self.subject.batch
        return images_per_pass(network, self.dataset.shape, device)

    def sample(self, space: FaultSpace, ber: float) -> list[FaultMap]:
        """Draw fault maps at a rate, from which a run estimates where first faults will be."""
        numbers = range(FIRST_SAMPLED, FIRST_SAMPLED + N_SAMPLED)
        return [self.fault.draw(space, ber=ber, seed=self.subject.seed, trial=number) for number in numbers]

    @property
    def overhead_images(self) -> float:
        """Cost of a trial in addition to its images, counted in images."""
        network = self.untrained_network
        nodes = network.graph.graph.nodes
        n_steps = sum(node.op.startswith("call_") and REORDERS not in node.meta for node in nodes)
        macs = network.macs(self.dataset.shape)
        return pilot.trial_overhead_images(n_steps=n_steps, macs=macs, n_weights=n_weights(network))

    @property
    def n_bits(self) -> int:
        """Number of bits of the fault space that faults can hit."""
        return sum(self.account.hit.values())

    @property
    def memory(self) -> MemoryEntry:
        """Account of the memory as the manifest records it."""
        subject, account = self.subject, self.account
        choices = (subject.dataset, subject.model, subject.scheme, subject.guard, subject.format, subject.fault)
        name = "/".join(choice.label for choice in choices if choice.label not in DEFAULT_LABELS)
        return MemoryEntry(
            subject=subject.key,
            name=name,
            hit=dict(account.hit),
            outside=dict(account.outside),
            computed=account.computed,
        )

    @cached_property
    def account(self) -> MemoryAccount:
        """Bits of the memory by kind: those that faults can hit and those outside."""
        network = self.untrained_network
        return account_memory(list(network.parameters()), self.codec, self.fault_space(network), network.computed)

    @property
    def n_images(self) -> int:
        """Number of test images that accuracies are measured on."""
        return self.dataset.n_test if self.subject.images is None else self.subject.images


def build_components(subject: Subject) -> Components:
    """Build a subject's plug-ins; FaultbenchError if they do not go together."""
    plugins = (build(choice) for choice in (subject.dataset, subject.format, subject.scheme, subject.fault))
    components = Components(subject, *plugins)
    if subject.dataset.origin is not None:
        require_declared(components.dataset, subject.dataset.name, source_of(subject.dataset))
    if not isinstance(components.fault, FaultModel):
        raise FaultbenchError(
            f"fault model {subject.fault.name!r} says not what it hits: it needs targets, layers, bits and draw; "
            "derive it from faultbench.memory.faults.fault_model.Targeted"
        )
    _check_images(components)
    require_channels(subject.weights, components.dataset.shape, f"{subject.model.label} on {subject.dataset.label}")
    return components


def _check_images(components: Components) -> None:
    """Raise FaultbenchError for more images than the data set has, or more per trial than those of the campaign."""
    subject, n_images, n_test = components.subject, components.n_images, components.dataset.n_test
    if n_images > n_test:
        raise FaultbenchError(
            f"images: {n_images} is more than the {n_test} test images of {subject.dataset.name}; "
            f'give at most {n_test}, or "all"'
        )
    if isinstance(subject.per_trial, int) and subject.per_trial > n_images:
        raise FaultbenchError(
            f"images: per_trial: {subject.per_trial} is more than the {n_images} test images that a trial "
            f"of {subject.dataset.name} can look at; give at most {n_images}"
        )


def check_components(campaign: Campaign) -> dict[str, Components]:
    """Return the components of each subject, by key, and find all mistakes that show before an image is loaded.

    Every network is built and traced, and every given weights file is read.
    """
    loaded = set()
    all_components = {subject.key: build_components(subject) for subject in campaign.subjects}
    for components in all_components.values():
        _ = components.account
        subject = components.subject
        network = (subject.dataset, subject.model, subject.weights)
        if subject.weights is not None and network not in loaded:
            loaded.add(network)  # schemes and formats share it
            load_given_weights(components.model(), subject.weights)
    return all_components
