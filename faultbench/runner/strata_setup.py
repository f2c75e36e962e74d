"""Hazards and strata of a campaign's subjects as a run comes by them: from the journal, or probed and designed now."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from faultbench.campaign import Cell, Subject
from faultbench.results.journal.journal import Journal, JournalContents, read_journal
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.system.progress.reporter import Reporter
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.images_per_trial import PILOT_IMAGES
from faultbench.trials.strata.bit_kinds import Memory
from faultbench.trials.strata.design import designed
from faultbench.trials.strata.hazard_pilot import probed


class Stratifying:
    """Hazards go by subject, strata by cell; what is not recorded is, before a trial is drawn by it.

    is_shared says that other runs write into the folder at the same time: then what they recorded is looked for first.
    """

    def __init__(
        self, folder: Path, journal: Journal, known: JournalContents, reporter: Reporter, *, is_shared: bool
    ) -> None:
        self._folder, self._journal, self._reporter, self._is_shared = folder, journal, reporter, is_shared
        self._hazards = dict(known.hazards)
        self.strata: dict[str, Strata] = dict(known.strata)

    def prepare(
        self, subject: Subject, evaluation: Callable[[], Evaluation], cells: Sequence[Cell]
    ) -> tuple[Hazards | None, Mapping[float, Strata]]:
        """The hazards of a subject and the strata of its cells by BER; None and nothing where trials are plain.

        evaluation gives that of the subject, which only a pilot needs.
        """
        if subject.sampling == "plain":
            return None, {}
        if self._is_shared:
            known = read_journal(self._folder / "journal")
            self._hazards.update(known.hazards)
            self.strata.update(known.strata)
        hazards = self._hazards.get(subject.key) or self._probed(subject, evaluation())
        for cell in cells:
            if cell.key not in self.strata:
                n_images = PILOT_IMAGES if subject.per_trial == "auto" else subject.per_trial
                self.strata[cell.key] = designed(cell.key, hazards, cell.ber, n_images)
                self._journal.append(self.strata[cell.key].to_record())
        return hazards, {cell.ber: self.strata[cell.key] for cell in cells}

    def _probed(self, subject: Subject, evaluation: Evaluation) -> Hazards:
        memory = Memory(evaluation.network, evaluation.space)
        found = probed(evaluation, memory, subject.key, subject.seed)
        self._hazards[subject.key] = found
        self._journal.append(found.to_record())
        self._reporter.say(
            f"{subject.model.label}/{subject.scheme.label}: {100 * found.n_hazards / found.n_bits:.2g}% of the bits do "
            f"harm, as a pilot of {found.n_image_runs:,} images found"
        )
        return found
