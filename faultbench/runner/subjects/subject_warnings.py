"""Warnings about a campaign's subjects: costs of number formats, and bounds that no search reached."""

from collections.abc import Iterator, Sequence

from faultbench.campaign import Subject
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.format_costs import format_costs
from faultbench.runner.subjects.subject_keys import protection_label


class SubjectWarnings:
    """Warnings that a reader of the results needs, collected as subjects become ready; each is returned once."""

    def __init__(self, builder: SubjectBuilder, artifacts: ArtifactStore, earlier: Sequence[str]) -> None:
        """Take over earlier, the warnings of a run before this one, which stay until all subjects are ready."""
        self._builder, self._artifacts, self._earlier = builder, artifacts, earlier
        self._by_subject: dict[str, list[str]] = {}

    def examine(self, subject: Subject) -> list[str]:
        """Return the warnings of a subject that were not returned before."""
        before = {text for texts in self._by_subject.values() for text in texts}
        self._by_subject[subject.key] = [*self._warnings(subject)]
        return [text for text in dict.fromkeys(self._by_subject[subject.key]) if text not in before]

    def texts(self, subjects: Sequence[Subject]) -> list[str]:
        """Return all warnings in the order of the subjects."""
        current = [text for subject in subjects for text in self._by_subject.get(subject.key, ())]
        is_whole = all(subject.key in self._by_subject for subject in subjects)
        return list(dict.fromkeys([*current, *(() if is_whole else self._earlier)]))

    def _warnings(self, subject: Subject) -> Iterator[str]:
        for cost in format_costs(subject, self._builder, self._artifacts):
            if cost.warning is not None:
                yield cost.warning
        if (remark := self._builder.fit(subject)[0].remark) is not None:
            yield f"{protection_label(subject)}: {remark}"
