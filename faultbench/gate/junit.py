"""A judgement as JUnit XML, which CI systems read: a test case for each cell, and for each limit in each cell."""

import re
from pathlib import Path
from xml.etree import ElementTree

from faultbench.gate.judgement import Finding, Judgement
from faultbench.system.files.disk import replaced

_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, however it is escaped."""


def write_junit(judgement: Judgement, path: Path) -> None:
    """Write it, whole or not at all; an undecided cell that does not fail counts as skipped."""
    tree = ElementTree.ElementTree(_suites(judgement))
    ElementTree.indent(tree)
    with replaced(path) as temporary:
        tree.write(temporary, encoding="utf-8", xml_declaration=True)


def _suites(judgement: Judgement) -> ElementTree.Element:
    findings = judgement.findings
    counts = {
        "tests": str(len(findings)),
        "failures": str(sum(one.fails for one in findings)),
        "errors": "0",
        "skipped": str(sum(_is_skipped(one) for one in findings)),
    }
    root = ElementTree.Element("testsuites", {"name": "faultbench", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _legal(judgement.campaign), **counts})
    for finding in findings:
        _add_case(suite, judgement, finding)
    ElementTree.SubElement(suite, "system-out").text = _legal("\n".join([*judgement.notes, judgement.summary]))
    return root


def _add_case(suite: ElementTree.Element, judgement: Judgement, finding: Finding) -> None:
    named = {"classname": f"faultbench.{judgement.campaign}.{finding.kind}", "name": finding.name, "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", {key: _legal(text) for key, text in named.items()})
    said = {"message": _legal(f"{finding.state}: {finding.reason}")}
    if finding.fails:
        ElementTree.SubElement(case, "failure", {**said, "type": finding.state}).text = _legal(finding.reason)
    elif _is_skipped(finding):
        ElementTree.SubElement(case, "skipped", said)


def _is_skipped(finding: Finding) -> bool:
    return finding.state == "undecided" and not finding.fails


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
