"""Subjects that a worker keeps ready in memory between its tasks."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from faultbench.trials.evaluation import Evaluation
from faultbench.trials.strata.stratified_faults import StratifiedFaultModel

N_KEPT = 4
"""Most subjects that a worker keeps."""

SubjectName = tuple[str, Path]
"""Key of a subject and folder of its artifacts."""


@dataclass
class KeptSubject:
    """Evaluation of a subject, and what draws its trials in strata, once that is made."""

    evaluation: Evaluation
    stratified: StratifiedFaultModel | None = None


class KeptSubjects:
    """The subjects that were used last: at most `N_KEPT`, and no more than fit in memory, but always the last one."""

    def __init__(self) -> None:
        self._subjects: OrderedDict[SubjectName, KeptSubject] = OrderedDict()

    def __contains__(self, name: SubjectName) -> bool:
        return name in self._subjects

    def use(self, name: SubjectName) -> KeptSubject | None:
        """Return the subject if it is kept; it then counts as the last one used."""
        if name not in self._subjects:
            return None
        self._subjects.move_to_end(name)
        return self._subjects[name]

    def add(self, name: SubjectName, evaluation: Evaluation, memory_bytes: int) -> KeptSubject:
        """Keep a subject, and drop those not used for longest until all take at most memory_bytes."""
        self._subjects[name] = subject = KeptSubject(evaluation)
        while len(self._subjects) > N_KEPT or (len(self._subjects) > 1 and self._kept_bytes() > memory_bytes):
            self._subjects.popitem(last=False)
        return subject

    def _kept_bytes(self) -> int:
        return sum(subject.evaluation.kept_bytes for subject in self._subjects.values())
