"""Output for GitHub Actions: annotations, as lines that the runner reads, and the summary of the step."""

import os
from pathlib import Path

from faultbench.gate.judgement import GateFinding, Judgement
from faultbench.gate.text import markdown_text
from faultbench.system.files.disk import append_text


def annotations(judgement: Judgement) -> list[str]:
    """Return an `::error` per failing finding and a `::warning` per undecided cell; nothing outside GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    levels = ((finding, _level(finding)) for finding in judgement.findings)
    return [f"::{level} title=faultbench check::{_message(finding)}" for finding, level in levels if level]


def add_summary(judgement: Judgement) -> None:
    """Append the tables of a judgement to the summary of the step, if the environment names a file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        append_text(Path(path), markdown_text(judgement) + "\n")


def _level(finding: GateFinding) -> str:
    """Return `error`, `warning` or nothing."""
    if finding.fails:
        return "error"
    return "warning" if finding.state == "undecided" else ""


def _message(finding: GateFinding) -> str:
    """Return what a finding says, escaped as the runner's toolkit does; a line break would begin another command."""
    text = f"{finding.name}: {finding.state}: {finding.reason}"
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
