"""All that a check found, and what it therefore ends with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faultbench.gate.baseline import place_text
from faultbench.gate.limits import LimitVerdict
from faultbench.gate.verdicts import FAILING, Verdict

REGRESSION = 1
"""Exit code of a check that failed."""
UNFINISHED = 3
"""Exit code of a check that found nothing but cells without all of their trials."""


@dataclass(frozen=True)
class Finding:
    """One cell, or one limit in one cell, for machines: JUnit, GitHub."""

    kind: str
    name: str
    state: str
    reason: str
    fails: bool


@dataclass(frozen=True)
class Judgement:
    """What a run came to against a baseline and limits.

    notes are sentences on the whole. Under is_strict a cell that the trials cannot decide on fails.
    """

    campaign: str
    baseline: Path | None
    verdicts: Sequence[Verdict]
    limits: Sequence[LimitVerdict]
    notes: Sequence[str]
    is_strict: bool = False

    @property
    def findings(self) -> list[Finding]:
        """Cells first, in the order of the verdicts."""
        return [*map(self._of_cell, self.verdicts), *map(_of_limit, self.limits)]

    @property
    def exit_code(self) -> int:
        """0, `REGRESSION` or `UNFINISHED`."""
        failing = {finding.state for finding in self.findings if finding.fails}
        if not failing:
            return 0
        return UNFINISHED if failing == {"unfinished"} else REGRESSION

    @property
    def summary(self) -> str:
        """One line: how many cells came out how, and the verdict on the whole."""
        findings = self.findings
        if not findings:
            return f"check of {self.campaign}: nothing was compared"
        states = dict.fromkeys(finding.state for finding in findings)
        counts = [_counted(sum(finding.state == state for finding in findings), state) for state in states]
        held = f" against {self.baseline}" if self.baseline else ""
        end = "FAILED" if self.exit_code else "passed"
        undecided = "; UNDECIDED cells did not prove themselves" if "undecided" in states and not self.exit_code else ""
        return f"check of {self.campaign}{held}: {end}: {', '.join(counts)}{undecided}"

    def _of_cell(self, verdict: Verdict) -> Finding:
        fails = verdict.state in FAILING or (self.is_strict and verdict.state == "undecided")
        return Finding("cell", place_text(verdict.place), verdict.state, verdict.reason, fails)


def _of_limit(verdict: LimitVerdict) -> Finding:
    name = f"{verdict.limit.text.strip()} in {place_text(verdict.place)}"
    state = "limit broken" if verdict.is_broken else "limit kept"
    return Finding("limit", name, state, verdict.reason, verdict.is_broken)


def _counted(count: int, state: str) -> str:
    """What a summary says of the findings of a state: "1 limit kept", "2 limits kept", "3 identical"."""
    return f"{count} {state.replace('limit', 'limits') if count > 1 else state}"
