"""The report: one self-contained HTML page of a results folder, for whoever has to file or judge it.

Text, tables and figures stand in the page as they are; its script only sorts, filters and shows values, so the page
prints, and says the same without it. It loads nothing from anywhere.
"""

import re
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from faultbench import __version__
from faultbench.output.report.charts import chart
from faultbench.output.report.colours import colours
from faultbench.output.report.completeness import progress
from faultbench.output.report.flip_check import flip_rows
from faultbench.output.report.harm_charts import failing_text, harm_charts, shades, worst_flips
from faultbench.output.report.headline import headline
from faultbench.output.report.origin import origin
from faultbench.output.report.outcomes import outcome_rows
from faultbench.output.report.pairs import matrices
from faultbench.output.report.summary_text import cast, counts, findings, sentences
from faultbench.results.analysis.blocks import blocks
from faultbench.results.analysis.harm_map import harm_maps
from faultbench.results.analysis.results import Results
from faultbench.system.files.disk import replaced
from faultbench.system.processes import side_by_side

_RATE = re.compile(r"\b\d(?:\.\d+)?e-\d+")


def write_report(results: Results) -> Path:
    """Write report.html into the results folder and give its path; equal results make equal bytes."""
    path = results.folder / "report.html"
    with replaced(path) as temporary:
        temporary.write_text(render(results), encoding="utf-8")
    return path


def render(results: Results) -> str:
    """The page."""
    flips, others = side_by_side([partial(_on_flips, results), partial(_on_accuracies, results)])
    template = _environment().get_template("report.html.j2")
    return template.render(
        campaign=results.manifest.campaign,
        version=__version__,
        progress=progress(results),
        counts=counts(results),
        sentences=sentences(results),
        cast=cast(results),
        colours=colours(results),
        origin=origin(results),
        shades=shades(),
        failing=failing_text(),
        **flips,
        **others,
    )


def _on_flips(results: Results) -> dict[str, Any]:
    maps = harm_maps(results)
    return {"harms": harm_charts(results, maps), "worst": worst_flips(results, maps)}


def _on_accuracies(results: Results) -> dict[str, Any]:
    found, looks, rule = blocks(results), colours(results), results.manifest.rule
    return {
        "findings": findings(results),
        "headline": headline(results),
        "charts": [chart(block, looks, number, rule) for number, block in enumerate(found)],
        "matrices": matrices(results),
        "outcomes": outcome_rows(results),
        "flips": flip_rows(results),
    }


def _environment() -> Environment:
    # autoescape whatever a template is called: labels are anybody's text.
    environment = Environment(
        loader=PackageLoader("faultbench.output.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["inlined"] = _inlined
    environment.filters["unbroken"] = _unbroken
    return environment


def _unbroken(text: str) -> Markup:
    """The text with its bit error rates kept in one line: a browser would break 3e-7 behind the hyphen."""
    return Markup(_RATE.sub(r'<span class="ber">\g<0></span>', str(escape(text))))


def _inlined(name: str) -> Markup:
    """A file of this package as it is."""
    return Markup((resources.files(__name__) / "templates" / name).read_text(encoding="utf-8"))
