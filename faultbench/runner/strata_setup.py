"""Hazards and strata of a campaign's subjects: taken from the journal, or probed and designed now."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from faultbench.campaign import Cell, Subject
from faultbench.results.journal.contents import Asked, JournalContents, read_journal
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.strata import Hazards, Strata
from faultbench.system.progress.reporter import Reporter
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.images_per_trial import PILOT_IMAGES
from faultbench.trials.strata.bit_kinds import BitKinds
from faultbench.trials.strata.design import design_strata
from faultbench.trials.strata.hazard_pilot import probe_hazards


class StrataSetup:
    """Hazards by subject and strata by cell; new ones are recorded before a trial is drawn from them.

    is_shared says that other runs write into the folder at the same time; their records are then read first. n_trials
    is the number of trials per cell that new strata aim at.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        known: JournalContents,
        reporter: Reporter,
        *,
        is_shared: bool,
        asked: Asked,
        n_trials: int,
    ) -> None:
        self._folder, self._journal, self._reporter, self._is_shared = folder, journal, reporter, is_shared
        self._asked, self._n_trials = asked, n_trials
        self._hazards = dict(known.hazards)
        self.strata: dict[str, Strata] = dict(known.strata)

    def prepare(
        self, subject: Subject, evaluation: Callable[[], Evaluation], cells: Sequence[Cell]
    ) -> tuple[Hazards | None, Mapping[float, Strata]]:
        """Return the hazards of a subject and the strata of its cells by BER; (None, {}) if its trials are plain.

        evaluation returns the subject's evaluation, which only a pilot needs.
        """
        if subject.sampling == "plain":
            return None, {}
        if self._is_shared:
            self._take_over_shared()
        hazards = self._hazards.get(subject.key) or self._probe(subject, evaluation())
        for cell in cells:
            if cell.key not in self.strata:
                n_images = PILOT_IMAGES if subject.per_trial == "auto" else subject.per_trial
                self.strata[cell.key] = design_strata(cell.key, hazards, cell.ber, n_images, self._n_trials)
                self._journal.append(self.strata[cell.key].to_record())
        return hazards, {cell.ber: self.strata[cell.key] for cell in cells}

    def _take_over_shared(self) -> None:
        """Take over what the runs of other shards have recorded meanwhile."""
        known = read_journal(self._folder / "journal", self._asked)
        self._hazards.update(known.hazards)
        self.strata.update(known.strata)

    def _probe(self, subject: Subject, evaluation: Evaluation) -> Hazards:
        bit_kinds = BitKinds(evaluation.network, evaluation.space)
        hazards = probe_hazards(evaluation, bit_kinds, subject.key, subject.seed)
        self._hazards[subject.key] = hazards
        self._journal.append(hazards.to_record())
        self._reporter.say(
            f"{subject.model.label}/{subject.scheme.label}: {100 * hazards.n_hazards / hazards.n_bits:.2g}% of the "
            f"bits do harm, as a pilot of {hazards.n_image_runs:,} images found"
        )
        return hazards
