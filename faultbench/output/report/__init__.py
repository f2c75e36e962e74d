"""Report of a results folder: one self-contained HTML page, to file or to review.

The page holds all text, tables and figures. Its script only sorts, filters and shows values, so the page is complete
in print and without the script. It loads nothing from anywhere.
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
from faultbench.output.report.harm_charts import harm_charts, shades, worst_flips
from faultbench.output.report.headline import headline
from faultbench.output.report.origin import origin
from faultbench.output.report.outcomes import outcome_rows
from faultbench.output.report.pairs import matrices
from faultbench.output.report.summary_text import axis_items, counts, findings, sentences
from faultbench.results.analysis.blocks import blocks
from faultbench.results.analysis.harm_map import harm_maps
from faultbench.results.analysis.results import Results
from faultbench.system.files.disk import replaced
from faultbench.system.processes import run_in_parallel

_RATE = re.compile(r"\b\d(?:\.\d+)?e-\d+")


def write_report(results: Results) -> Path:
    """Write report.html into the results folder and return its path; equal results make equal bytes."""
    path = results.folder / "report.html"
    with replaced(path) as temporary:
        temporary.write_text(render(results), encoding="utf-8")
    return path


def render(results: Results) -> str:
    """Return the page."""
    flips, others = run_in_parallel([partial(_flip_sections, results), partial(_accuracy_sections, results)])
    template = _environment().get_template("report.html.j2")
    return template.render(
        campaign=results.manifest.campaign,
        version=__version__,
        progress=progress(results),
        counts=counts(results),
        sentences=sentences(results),
        cast=axis_items(results),
        colours=colours(results),
        origin=origin(results),
        shades=shades(),
        **flips,
        **others,
    )


def _flip_sections(results: Results) -> dict[str, Any]:
    maps = harm_maps(results)
    return {"harms": harm_charts(results, maps), "worst": worst_flips(results, maps)}


def _accuracy_sections(results: Results) -> dict[str, Any]:
    of_lines, rule = colours(results), results.manifest.rule
    return {
        "findings": findings(results),
        "headline": headline(results),
        "charts": [chart(block, of_lines, number, rule) for number, block in enumerate(blocks(results))],
        "matrices": matrices(results),
        "outcomes": outcome_rows(results),
        "flips": flip_rows(results),
    }


def _environment() -> Environment:
    # Escapes in every template, whatever its name: users choose the labels.
    environment = Environment(
        loader=PackageLoader("faultbench.output.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["inlined"] = _inlined
    environment.filters["unbroken"] = _unbroken
    return environment


def _unbroken(text: str) -> Markup:
    """Return the text with each bit error rate kept on one line: a browser would break 3e-7 after the hyphen."""
    return Markup(_RATE.sub(r'<span class="ber">\g<0></span>', str(escape(text))))


def _inlined(name: str) -> Markup:
    """Return a file of this package, unescaped."""
    return Markup((resources.files(__name__) / "templates" / name).read_text(encoding="utf-8"))
