"""Manifest of a run: what is asked for, how it runs, and what its results are made of; written as these are known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faultbench.campaign import Campaign, Subject
from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.content_digests import DIGESTS_KEY, Digests, join_digests, recorded_digests, require_equal
from faultbench.results.folder import MemoryEntry, memory_sentences
from faultbench.results.manifest_file import numbers_asked_before, read_manifest, recorded_findings, write_manifest
from faultbench.runner.data_record import DataRecord
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder, digests
from faultbench.runner.subjects.declared_accuracy import DeclaredAccuracy
from faultbench.runner.subjects.subject_keys import images_key, keys_of, network_key, titles
from faultbench.runner.subjects.subject_warnings import SubjectWarnings
from faultbench.system.files.locks import in_turn


class RunRecord:
    """Manifest of a locked results folder, filled in as networks become ready.

    What earlier runs of the folder recorded of a network stays until this run has examined the same network.
    """

    def __init__(
        self,
        folder: Path,
        campaign: Campaign,
        builder: SubjectBuilder,
        artifacts: ArtifactStore,
        execution: Mapping[str, Any],
    ) -> None:
        self._folder, self._campaign, self._builder, self._execution = folder, campaign, builder, execution
        self._findings = recorded_findings(folder)
        self._warnings = SubjectWarnings(builder, artifacts, self._findings["warnings"])
        self._data = DataRecord(builder.device)
        self._made_of: Digests = {}
        self._asked_before: list[int] = []

    def remember_looks(self) -> tuple[StoppingRule, list[str]]:
        """Note the numbers of trials that earlier runs of the folder showed results with.

        Return the rule that knows them, and warnings if the number was raised.
        """
        spec, self._asked_before = self._campaign.spec, numbers_asked_before(self._folder)
        rule = StoppingRule.read(spec["trials"], spec["images"], self._asked_before)
        if not rule.n_raised:
            return rule, []
        shown = " and ".join(f"{n:,}" for n in self._asked_before if n < rule.n_max)
        warning = (
            f"{self._folder}: results were shown with {shown} trials, so intervals are of a kind that holds at any "
            "number of looks, and are wider; --fresh begins anew"
        )
        return rule, [warning]

    def remember_memory(self, memory: Sequence[MemoryEntry]) -> list[str]:
        """Note the memory that no fault hits and computed weights, per subject; return it as sentences."""
        self._findings["memory"] = [entry.model_dump(mode="json") for entry in memory]
        return memory_sentences(memory)

    def remember_accuracies(self, accuracies: Iterable[DeclaredAccuracy]) -> None:
        """Note the golden accuracies that campaigns declare for given weights, and the measured ones."""
        self._findings["declared_accuracies"] = [asdict(accuracy) for accuracy in accuracies]

    def examine(self, subject: Subject) -> list[str]:
        """Note what a ready subject is made of and its warnings; return the warnings that are new."""
        warnings = self._warnings.examine(subject)
        self._made_of = join_digests([self._made_of, digests(self._builder, [subject], known=self._made_of)])
        self._data.examine(subject, self._builder)
        self._findings["warnings"] = self._warnings.texts(self._campaign.subjects)
        return warnings

    def made_of(self, subject: Subject) -> Digests:
        """Return the digests of what an examined subject is made of."""
        return {
            kind: {key: self._made_of[kind][key]} for kind, key in keys_of(subject).items() if kind in self._made_of
        }

    def write(self, command: Sequence[str]) -> None:
        """Write the manifest with what is known so far.

        FaultbenchError if the folder's results were made of other images, weights or bounds: earlier and later trials
        would be of different networks.
        """
        with in_turn(self._folder / ".lock.manifest"):  # other shards write it too
            then, data = self._recorded()
            self._require(then, self._made_of)
            asked_before = {"asked_before": self._asked_before} if self._asked_before else {}
            if self._made_of:
                data = self._data.of(self._campaign.subjects, self._made_of, data)
            write_manifest(
                self._folder, self._campaign, command=command, execution=self._execution, data=data,
                findings={**self._findings, **asked_before, DIGESTS_KEY: join_digests([then, self._made_of])},
            )  # fmt: skip

    def _recorded(self) -> tuple[Digests, dict[str, Any]]:
        """Return what the folder's results are made of so far, by key and in the form of the manifest's `data`."""
        if not (self._folder / "manifest.json").exists():
            return {}, {}
        keys = {subject.key: (images_key(subject), network_key(subject)) for subject in self._campaign.subjects}
        own, labelled, data = recorded_digests(read_manifest(self._folder), keys)
        self._require(own, labelled)
        return join_digests([own, labelled]), data

    def _require(self, then: Digests, now: Digests) -> None:
        advice = "bring back what it was made with, or use another -o or --fresh"
        require_equal(f"{self._folder}: made with", then, now, advice, titles(self._campaign.subjects))
