"""What GitHub Actions shows of a judgement: annotations, as lines that the runner reads, and the step's summary."""

import os
from pathlib import Path

from faultbench.gate.judgement import Finding, Judgement
from faultbench.gate.text import markdown_text
from faultbench.system.files.disk import disk_errors


def annotations(judgement: Judgement) -> list[str]:
    """An `::error` a finding that fails, a `::warning` a cell that its trials cannot decide on; none elsewhere."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    levels = ((one, _level(one)) for one in judgement.findings)
    return [f"::{level} title={_property('faultbench check')}::{_said(one)}" for one, level in levels if level]


def add_summary(judgement: Judgement) -> None:
    """Append the tables to the step's summary where the environment names a file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with disk_errors(Path(path)), Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown_text(judgement) + "\n")


def _level(finding: Finding) -> str:
    if finding.fails:
        return "error"
    return "warning" if finding.state == "undecided" else ""


def _said(finding: Finding) -> str:
    return _data(f"{finding.name}: {finding.state}: {finding.reason}")


def _data(text: str) -> str:
    """As the runner's toolkit escapes a message; a line break would begin another command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
