"""Text of a judgement: tables for a terminal, and Markdown."""

import math
from collections.abc import Sequence

from faultbench.gate.baseline import cell_name_text
from faultbench.gate.judgement import Judgement
from faultbench.gate.verdicts import Verdict
from faultbench.results.folder import LABELS, ber_text
from faultbench.results.labels import escape_markdown
from faultbench.results.stats import CONFIDENCE
from faultbench.system.printable import printable
from faultbench.system.text_tables import UNLIMITED, Column, TextTable

HEADERS = ("BER", "trials", "then", "now", "difference", "interval", "p (Holm)", "verdict", "why")
LIMITS = ("limit", "cell", "verdict", "value")
_TEXTS = (*LABELS, "why", *LIMITS)
"""Columns that hold text, which folds on a narrow terminal; those of numbers and verdicts do not."""

_RANKS = {"then": 1, "now": 2, "interval": 3, "p (Holm)": 4, "trials": 5}
"""Columns that a narrow terminal can do without, those of the highest rank first."""


def table_text(judgement: Judgement, width: int = UNLIMITED) -> str:
    """Return the cells and limits as tables of this width, the notes, and the summary as the last line."""
    tables = []
    if judgement.verdicts:
        tables.append(_table(cell_rows(judgement)).text(width))
    if judgement.limits:
        tables.append(_table(limit_rows(judgement)).text(width))
    lines = [*([footnote()] if judgement.verdicts else []), *map(printable, [*judgement.notes, judgement.summary])]
    return "".join(tables) + "\n".join(lines) + "\n"


def markdown_text(judgement: Judgement) -> str:
    """Return summary, tables and notes as Markdown, for a page that GitHub shows."""
    lines = [f"### faultbench check: {judgement.campaign}", "", _one_line(judgement.summary), ""]
    for rows in (cell_rows(judgement), limit_rows(judgement)):
        if len(rows) > 1:
            lines += [_line(rows[0]), _line(["---"] * len(rows[0])), *map(_line, rows[1:]), ""]
    lines += [f"- {_one_line(note)}" for note in judgement.notes]
    return "\n".join(lines).rstrip() + "\n"


def footnote() -> str:
    """Return the legend of the columns."""
    return (
        f"then, now: mean accuracy in %; difference in points with its {100 * CONFIDENCE:g}% betting interval, over "
        "pairs of\ntrials that met the same flips. p: of a drop within the margin, with Holm's correction for all cells"
        "\ntested. Trials that it takes to tell: if they come out like these."
    )


def cell_rows(judgement: Judgement) -> list[Sequence[str]]:
    """Return the headers, then a row per cell; labels that all cells share are left out."""
    names = [verdict.cell_name for verdict in judgement.verdicts]
    shown = [n for n in range(len(LABELS)) if len({name[n] for name in names}) > 1]
    head = (*(LABELS[n] for n in shown), *HEADERS)
    rows = ((*(str(verdict.cell_name[n]) for n in shown), *_fields(verdict)) for verdict in judgement.verdicts)
    return [head, *rows]


def limit_rows(judgement: Judgement) -> list[Sequence[str]]:
    """Return the headers, then a row for each limit in each of its cells."""
    words = {True: "BROKEN", False: "kept"}
    return [
        LIMITS,
        *(
            (verdict.limit.text.strip(), cell_name_text(verdict.cell_name), words[verdict.is_broken], verdict.reason)
            for verdict in judgement.limits
        ),
    ]


def _fields(verdict: Verdict) -> tuple[str, ...]:
    """Return the fields of a verdict in the order of HEADERS."""
    interval, difference = "", ""
    if verdict.then is not None and verdict.now is not None:
        difference = f"{100 * (verdict.now - verdict.then):+.1f}"
    if verdict.interval is not None:  # rounded outwards, so that the printed interval holds too
        low, high = math.floor(1000 * verdict.interval.low) / 10, math.ceil(1000 * verdict.interval.high) / 10
        interval = f"[{low:+.1f}, {high:+.1f}]"
    state = verdict.state if verdict.state in ("identical", "kept") else verdict.state.upper()
    p = "" if verdict.p is None else f"{verdict.p:.2g}"
    counts = (f"{verdict.n_pairs:,}" if verdict.n_pairs else "", _percent(verdict.then), _percent(verdict.now))
    return (ber_text(float(verdict.cell_name[-1])), *counts, difference, interval, p, state, verdict.reason)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f}"


def _table(rows: list[Sequence[str]]) -> TextTable:
    """Return the rows, the first of which is the head, as a table."""
    head, *body = rows
    return TextTable([Column(name, name in _TEXTS, _RANKS.get(name, 0)) for name in head], body)


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(map(_one_line, row))} |"


def _one_line(text: str) -> str:
    """Return the text on one line, escaped for Markdown: labels and notes can hold any characters."""
    return escape_markdown(" ".join(text.split()))
