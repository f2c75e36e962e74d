"""Judgement of a check: its verdicts and limits, and the exit code that follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faultbench.gate.baseline import cell_name_text
from faultbench.gate.limits import LimitVerdict
from faultbench.gate.verdicts import FAILING, Verdict
from faultbench.results.stats import MOST_PAIRS

REGRESSION = 1
"""Exit code if a cell or a limit fails."""
UNFINISHED = 3
"""Exit code if nothing fails but cells that lack trials."""


@dataclass(frozen=True)
class GateFinding:
    """Finding on one cell, or on one limit in one cell, for JUnit and GitHub."""

    kind: str
    name: str
    state: str
    reason: str
    fails: bool


@dataclass(frozen=True)
class Judgement:
    """Result of comparing a run with a baseline and limits.

    notes are sentences on the whole run. With is_strict, an undecided cell fails.
    """

    campaign: str
    baseline: Path | None
    verdicts: Sequence[Verdict]
    limits: Sequence[LimitVerdict]
    notes: Sequence[str]
    is_strict: bool = False

    @property
    def findings(self) -> list[GateFinding]:
        """Return the findings on cells, in the order of the verdicts, then those on limits."""
        return [*map(self._of_cell, self.verdicts), *map(_of_limit, self.limits)]

    @property
    def exit_code(self) -> int:
        """Return 0, `REGRESSION` or `UNFINISHED`."""
        failing = {finding.state for finding in self.findings if finding.fails}
        if not failing:
            return 0
        return UNFINISHED if failing == {"unfinished"} else REGRESSION

    @property
    def summary(self) -> str:
        """Return one line: the verdict on the whole, and the number of findings of each state."""
        findings = self.findings
        if not findings:
            return f"check of {self.campaign}: nothing was compared"
        states = dict.fromkeys(finding.state for finding in findings)
        counts = [_counted(sum(finding.state == state for finding in findings), state) for state in states]
        against = f" against {self.baseline}" if self.baseline else ""
        end = "FAILED" if self.exit_code else "passed"
        return f"check of {self.campaign}{against}: {end}: {', '.join(counts)}{self._undecided(findings)}"

    def _undecided(self, findings: Sequence[GateFinding]) -> str:
        """Return what a reader of the summary must know of undecided cells, empty without any."""
        n_undecided = sum(finding.state == "undecided" for finding in findings)
        if not n_undecided or self.exit_code:
            return ""
        needed = [verdict.n_needed for verdict in self.verdicts if verdict.state == "undecided"]
        known = [n for n in needed if n]
        most = f"about {max(known):,}" if len(known) == len(needed) else f"more than {MOST_PAIRS:,}"
        return f"; NOT PROVEN for {n_undecided} UNDECIDED: that takes {most} trials (--strict fails them)"

    def _of_cell(self, verdict: Verdict) -> GateFinding:
        fails = verdict.state in FAILING or (self.is_strict and verdict.state == "undecided")
        return GateFinding("cell", cell_name_text(verdict.cell_name), verdict.state, verdict.reason, fails)


def _of_limit(verdict: LimitVerdict) -> GateFinding:
    name = f"{verdict.limit.text.strip()} in {cell_name_text(verdict.cell_name)}"
    state = "limit broken" if verdict.is_broken else "limit kept"
    return GateFinding("limit", name, state, verdict.reason, verdict.is_broken)


def _counted(count: int, state: str) -> str:
    """Return how many findings have a state: "1 limit kept", "2 limits kept", "3 identical"."""
    return f"{count} {state.replace('limit', 'limits') if count > 1 else state}"
