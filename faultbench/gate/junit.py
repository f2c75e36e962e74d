"""JUnit XML of a judgement, which CI systems read: a test case for each cell, and for each limit in each cell."""

import re
from pathlib import Path
from xml.etree import ElementTree

from faultbench.gate.judgement import GateFinding, Judgement
from faultbench.system.files.disk import replaced

_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, escaped or not."""


def write_junit(judgement: Judgement, path: Path) -> None:
    """Write the JUnit file of a judgement, whole or not at all; an undecided cell that does not fail is skipped."""
    tree = ElementTree.ElementTree(_suites(judgement))
    ElementTree.indent(tree)
    with replaced(path) as temporary:
        tree.write(temporary, encoding="utf-8", xml_declaration=True)


def _suites(judgement: Judgement) -> ElementTree.Element:
    findings = judgement.findings
    counts = {
        "tests": str(len(findings)),
        "failures": str(sum(finding.fails for finding in findings)),
        "errors": "0",
        "skipped": str(sum(map(_is_skipped, findings))),
    }
    root = ElementTree.Element("testsuites", {"name": "faultbench", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _legal(judgement.campaign), **counts})
    for finding in findings:
        _add_case(suite, judgement, finding)
    ElementTree.SubElement(suite, "system-out").text = _legal("\n".join([*judgement.notes, judgement.summary]))
    return root


def _add_case(suite: ElementTree.Element, judgement: Judgement, finding: GateFinding) -> None:
    named = {"classname": f"faultbench.{judgement.campaign}.{finding.kind}", "name": finding.name, "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", {key: _legal(text) for key, text in named.items()})
    message = {"message": _legal(f"{finding.state}: {finding.reason}")}
    if finding.fails:
        ElementTree.SubElement(case, "failure", {**message, "type": finding.state}).text = _legal(finding.reason)
    elif _is_skipped(finding):
        ElementTree.SubElement(case, "skipped", message)


def _is_skipped(finding: GateFinding) -> bool:
    return finding.state == "undecided" and not finding.fails


def _legal(text: str) -> str:
    """Return the text with a replacement character for each one that XML cannot hold."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
