"""Entry `data` of a manifest: digests by the campaign's labels, and how forward passes of each network run."""

from collections.abc import Mapping, Sequence
from typing import Any

from faultbench.campaign import Subject
from faultbench.networks.memory_layout import row_major_layers
from faultbench.results.content_digests import IMAGES, WEIGHTS, Digests
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.subject_keys import images_key, network_key, network_label
from faultbench.system.devices import LAYOUTS, Device


class DataRecord:
    """Record of how forward passes of networks run, filled in as they become ready."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._passes: dict[str, dict[str, Any]] = {}

    def examine(self, subject: Subject, builder: SubjectBuilder) -> None:
        """Note how forward passes of a subject's network run."""
        if (network := network_label(subject)) not in self._passes:
            stored = builder.network(subject)
            self._passes[network] = {"images a forward pass": build_components(subject).batch(stored, self._device)}
            if LAYOUTS[self._device] == "channels_last":
                self._passes[network]["row-major layers"] = row_major_layers(stored.graph)

    def of(
        self, subjects: Sequence[Subject], made_of: Digests, earlier: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Return the record of these subjects; those that are not ready yet keep what an earlier run recorded."""
        record: dict[str, dict[str, Any]] = {IMAGES: {}, WEIGHTS: {}, "images a forward pass": {}}
        if LAYOUTS[self._device] == "channels_last":
            record["row-major layers"] = {}
        for subject in subjects:
            network, dataset = network_label(subject), subject.dataset.label
            if network in self._passes:
                now = {WEIGHTS: made_of[WEIGHTS][network_key(subject)], **self._passes[network]}
            else:
                now = {kind: earlier[kind][network] for kind in record if network in earlier.get(kind, {})}
            for kind, value in now.items():
                record[kind][network] = value
            if images := made_of[IMAGES].get(images_key(subject), earlier.get(IMAGES, {}).get(dataset)):
                record[IMAGES][dataset] = images
        return record
